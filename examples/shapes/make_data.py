"""Draws of four shapes in the plane, from which parts are learned: run `python make_data.py` to make `shapes.npz`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROWS = 4000
RADIUS, SD = 0.5, 0.03  #: of the ring of eight blobs
BLOB, BLOB_SD = (0.5, 0.0), 0.15


def ring(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = rng.integers(0, 8, n) * np.pi / 4
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1) + SD * rng.standard_normal((n, 2))


def bar(rng: np.random.Generator, n: int) -> np.ndarray:
    """Upright, across the ring's top and bottom."""
    return np.stack([rng.uniform(-0.1, 0.1, n), rng.uniform(-1.0, 1.0, n)], axis=1)


def level(rng: np.random.Generator, n: int) -> np.ndarray:
    """The bar on its side."""
    return bar(rng, n)[:, ::-1].copy()


def blob(rng: np.random.Generator, n: int) -> np.ndarray:
    """About the ring's right end."""
    return np.array(BLOB) + BLOB_SD * rng.standard_normal((n, 2))


SHAPES = {"ring": ring, "bar": bar, "level": level, "blob": blob}


def main() -> None:
    rng = np.random.default_rng(0)
    rows = {name: shape(rng, ROWS).astype(np.float32) for name, shape in SHAPES.items()}
    np.savez_compressed(Path(__file__).parent / "shapes.npz", **rows)


if __name__ == "__main__":
    main()
