"""Write `words.npz`: 4,000 words of each writer; the seed is fixed."""

from pathlib import Path

import numpy as np

from examples.two_writers import truth

ROWS = 4000


def main() -> None:
    rng = np.random.default_rng(0)
    first, second = (truth.words(writer, ROWS, rng).astype(np.int8) for writer in (0, 1))
    np.savez_compressed(Path(__file__).parent / "words.npz", first=first, second=second)


if __name__ == "__main__":
    main()
