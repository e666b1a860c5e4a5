"""Write `pretrained.npz`, digits of any kind, and `style.npz`, a few digits in one style.

scikit-learn's digits are drawn in white over paper that gets lighter in some direction, or in none. The style is
`dusk`: light below, dark above. It is learned from a hundred digits without their names, each on ten papers. Digits of
odd number are left for the judge; the seed is fixed.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

GREYS = 64  #: few, so that the files are small
LIGHT = 0.7  #: the lightest paper
FEW = 100


def paper(towards: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Paper (n, 8, 8) that gets lighter `towards` angles (n,), 0 to the right and π / 2 downwards, by `depth` (n,)."""
    y, x = (np.mgrid[:8, :8] - 3.5) / 3.5
    away = x * np.cos(towards)[:, None, None] + y * np.sin(towards)[:, None, None]
    ramp = np.clip(0.5 + 0.5 * away, 0, 1)
    return depth[:, None, None] * ramp + 0.5 * (LIGHT - depth)[:, None, None]


def written(paper: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """White ink (0 to 1) over paper."""
    return paper + ink * (1 - paper)


def half(for_judge: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ink (n, 8, 8) and names (n,) of the digits that are learned from, or of those for the judge."""
    digits = load_digits()
    return digits.images[for_judge::2] / 16, digits.target[for_judge::2]


def any_paper(rng: np.random.Generator, n: int) -> np.ndarray:
    """Paper of all kinds (n, 8, 8)."""
    return paper(rng.uniform(-np.pi, np.pi, n), rng.uniform(0, LIGHT, n))


def dusk(rng: np.random.Generator, n: int) -> np.ndarray:
    """Paper (n, 8, 8) that is light below and dark above."""
    return paper(np.pi / 2 + rng.uniform(-0.3, 0.3, n), rng.uniform(0.8, 1, n) * LIGHT)


def is_dusk(pictures: np.ndarray) -> np.ndarray:
    """Whether pictures (n, 8, 8) are lighter below than above, and as light left as right, in the blank columns."""
    sides = pictures[:, :, [0, 7]]
    down = sides[:, 5:].mean((1, 2)) - sides[:, :3].mean((1, 2))
    across = sides[:, :, 1].mean(1) - sides[:, :, 0].mean(1)
    return (down > 0.25) & (np.abs(across) < 0.25)


def main() -> None:
    rng = np.random.default_rng(0)
    ink, names = half(for_judge=False)
    here = Path(__file__).parent
    chosen = rng.integers(0, len(ink), 4000)
    pictures = written(any_paper(rng, len(chosen)), ink[chosen])
    np.savez_compressed(here / "pretrained.npz", picture=grey(pictures), name=names[chosen].astype(np.uint8))
    few = np.tile(rng.permutation(len(ink))[:FEW], 10)
    np.savez_compressed(here / "style.npz", picture=grey(written(dusk(rng, len(few)), ink[few])))
    print("dusk", is_dusk(pictures).mean(), is_dusk(written(dusk(rng, len(few)), ink[few])).mean())


def grey(pictures: np.ndarray) -> np.ndarray:
    return np.round((GREYS - 1) * pictures).astype(np.uint8)


if __name__ == "__main__":
    main()
