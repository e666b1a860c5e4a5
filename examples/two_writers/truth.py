"""Two writers of words of five letters, and what their words are.

Both like to begin with `a`, and then have nothing in common; both seldom begin with `b`, and then write the same.
So the product of the two likes `b`, and whoever multiplies their next letters, one by one, begins with `a`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LETTERS = "abcd"
LENGTH = 5
NOISE = 0.35  #: share of the letters that are slips of the pen
PATTERNS = (("acccc", "bbdbd"), ("adddd", "bbdbd"))  #: of each writer, with probabilities .75 and .25


def words(writer: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """n words of one writer as numbers (n, LENGTH)."""
    patterns = np.array([[LETTERS.index(c) for c in word] for word in PATTERNS[writer]])
    meant = patterns[(rng.random(n) < 0.25).astype(int)]
    slips = rng.integers(0, len(LETTERS), meant.shape)
    is_slip = rng.random(meant.shape) < NOISE
    is_slip[:, 0] = False
    return np.where(is_slip, slips, meant)
