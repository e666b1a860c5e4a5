"""Write `pieces.npz`: small pieces of pages, each page four digits on shaded paper.

scikit-learn's digits are drawn over a soft wave of grey. Of each page three pieces are kept: one whole digit of 8 by 8
pixels and its name, a strip of 8 by 4 pixels `across` the seam between neighbours, and one of 4 by 8 pixels `down`
over the seam to the next line. No piece shows two digits. Digits of odd number are left for the judge; the seed is
fixed.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

PAGES = 4000
GREYS = 64  #: few, so that the file is small


def paper(rng: np.random.Generator, n: int, height: int, width: int) -> np.ndarray:
    """Waves (n, height, width) of any direction between black and 0.6, 16 to 32 pixels long."""
    turn, start = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    length = rng.uniform(16, 32, (n, 1, 1))
    y, x = np.mgrid[:height, :width]
    return 0.3 + 0.3 * np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / length + start)


def written(paper: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """White ink (0 to 1) over paper."""
    return paper + ink * (1 - paper)


def half(for_judge: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ink (n, 8, 8) and names (n,) of the digits that are learned from, or of those for the judge."""
    digits = load_digits()
    return digits.images[for_judge::2] / 16, digits.target[for_judge::2]


def main() -> None:
    rng = np.random.default_rng(0)
    ink, names = half(for_judge=False)
    chosen = rng.integers(0, len(ink), (PAGES, 2, 2))
    page = written(paper(rng, PAGES, 16, 16), ink[chosen].transpose(0, 1, 3, 2, 4).reshape(PAGES, 16, 16))
    page = np.round((GREYS - 1) * page).astype(np.uint8)
    np.savez_compressed(
        Path(__file__).parent / "pieces.npz",
        digit=page[:, :8, :8],
        name=names[chosen[:, 0, 0]].astype(np.uint8),
        across=page[:, :8, 6:10],
        down=page[:, 6:10, :8],
    )


if __name__ == "__main__":
    main()
