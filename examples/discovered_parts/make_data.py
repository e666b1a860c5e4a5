"""Write `scenes.npz`: pictures of a level band and an upright band, and scenes to take one band each from.

A picture has 8 by 8 pixels. A band is soft, its place any number from 1 to 6, and where two bands cross their light
adds up. No scene has its level band low and its upright band right, both places above 3.5: that quarter is held out.
Nothing is said of a scene but its pixels. `one` and `other` are further scenes, in pairs: `one` has the level band low
and the upright band left, `other` the level band high and the upright band right. So of a pair's two hybrids the one
with the level band of `one` is in the quarter that was held out. The seed is fixed.
"""

from pathlib import Path

import numpy as np

SCENES = 4000
PAIRS = 16
FIRST, MIDDLE, LAST = 1.0, 3.5, 6.0  #: places
WIDTH = 1.4  #: the standard deviation of a band's profile, in pixels
GREYS = 63  #: of a band's light at its middle


def drawn(places: np.ndarray) -> np.ndarray:
    """Pictures (n, 8, 8) of bands at places (n, 2): of the level one from above, of the upright one from the left."""
    away = np.arange(8) - places[:, :, None]
    level, upright = np.exp(-0.5 * (away / WIDTH) ** 2).swapaxes(0, 1)
    return level[:, :, None] + upright[:, None, :]


def read(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places (n, 2) of the bands nearest to pictures (n, 8, 8), and how far off the pictures are (n,).

    Places are read to a twentieth; how far off is the root of the mean squared difference.
    """
    steps = np.linspace(0, 7, 141)
    places = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=2).reshape(-1, 2)
    known, flat = drawn(places).reshape(-1, 64), pictures.reshape(-1, 64)
    square = (known**2).sum(1) - 2 * flat @ known.T + (flat**2).sum(1)[:, None]
    return places[square.argmin(1)], np.sqrt(np.maximum(square.min(1), 0) / 64)


def main() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(FIRST, LAST, (2 * SCENES, 2))
    near, far = (rng.uniform(*ends, (2, PAIRS)) for ends in [(FIRST, MIDDLE), (MIDDLE, LAST)])
    one_at, other_at = np.stack([far[0], near[0]], axis=1), np.stack([near[1], far[1]], axis=1)
    np.savez_compressed(
        Path(__file__).parent / "scenes.npz",
        scene=grey(drawn(places[(places < MIDDLE).any(1)][:SCENES])),
        one=grey(drawn(one_at)),
        other=grey(drawn(other_at)),
        one_at=one_at,
        other_at=other_at,
    )


def grey(pictures: np.ndarray) -> np.ndarray:
    return np.round(GREYS * pictures).astype(np.uint8)


if __name__ == "__main__":
    main()
