"""Threefry2x32, by itself with 20 rounds: a cipher whose counters are random numbers.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. It is written over
integer arrays of any library whose words hold at least 32 bits.
"""

from __future__ import annotations

from typing import Any

Words = Any  # an integer array whose elements are 0 … 2^32 - 1

MASK = 0xFFFFFFFF
PARITY = 0x1BD11BDA
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
ROUNDS = 20


def low_word(word: Words) -> Words:
    """The low 32 bits: what a uint32 keeps by itself."""
    return word & MASK if word.dtype.itemsize > 4 else word


def threefry(
    key: tuple[Words, Words], counter: tuple[Words, Words], rounds: int = ROUNDS
) -> tuple[Words, Words]:
    """Encipher two counter words under two key words; arrays of words that broadcast together."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    x, y = low_word(counter[0] + schedule[0]), low_word(counter[1] + schedule[1])
    for i in range(rounds):
        turn = ROTATIONS[i % 8]
        x = low_word(x + y)
        y = (low_word(y << turn) | (y >> (32 - turn))) ^ x
        if i % 4 == 3:
            injection = i // 4 + 1
            x = low_word(x + schedule[injection % 3])
            y = low_word(y + schedule[(injection + 1) % 3] + injection)
    return x, y
