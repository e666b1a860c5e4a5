"""Write `scenes.npz`: pictures of objects, each with the place of one of them.

A picture has 16 by 16 pixels, of which 15 by 15 are nine cells of 5 by 5; each cell holds an object, a disc or a cross,
with probability 0.4 (and one at least does). What is said of a picture is where *one* of its objects is, chosen at
random: no picture comes with the whole list. The seed is fixed.
"""

from pathlib import Path

import numpy as np

SCENES = 8000
PRESENT = 0.4
DISC = ["·###·", "#####", "#####", "#####", "·###·"]
CROSS = ["##·##", "#####", "·###·", "#####", "##·##"]
OBJECTS = np.array([[[c == "#" for c in row] for row in shape] for shape in (DISC, CROSS)], dtype=np.uint8)


def laid_out(cells: np.ndarray) -> np.ndarray:
    """Cells (n, 9, 5, 5) as pictures (n, 16, 16)."""
    square = cells.reshape(-1, 3, 3, 5, 5).swapaxes(2, 3).reshape(-1, 15, 15)
    return np.pad(square, ((0, 0), (0, 1), (0, 1)))


def cells_of(pictures: np.ndarray) -> np.ndarray:
    """Pictures (n, 16, 16) as cells (n, 9, 5, 5)."""
    return pictures[:, :15, :15].reshape(-1, 3, 5, 3, 5).swapaxes(2, 3).reshape(-1, 9, 5, 5)


def shown(pictures: np.ndarray, tolerance: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Which cells (n, 9) of pictures (n, 16, 16) show an object, and which show one or nothing.

    A cell shows an object if it is within `tolerance` of it, the root of the mean squared difference, and empty if it
    is that close to 0.
    """
    cells = cells_of(pictures)
    far = np.sqrt(((cells[:, :, None] - OBJECTS) ** 2).mean((3, 4))).min(2)
    faint = np.sqrt((cells**2).mean((2, 3)))
    there = (far < tolerance) & (far < faint)
    return there, there | (faint < tolerance)


def main() -> None:
    rng = np.random.default_rng(0)
    cells = OBJECTS[rng.integers(0, len(OBJECTS), (SCENES, 9))]
    place = rng.integers(0, 9, SCENES)
    is_there = rng.random((SCENES, 9)) < PRESENT
    is_there[np.arange(SCENES), place] |= ~is_there.any(1)  # an object in a picture that has none
    place = np.argmax(is_there * rng.random((SCENES, 9)), axis=1)
    np.savez_compressed(
        Path(__file__).parent / "scenes.npz",
        picture=laid_out(cells * is_there[:, :, None, None]),
        place=place.astype(np.uint8),
    )


if __name__ == "__main__":
    main()
