"""Write `walks.npz`: 6,000 walks on a ring; the seed is fixed."""

from pathlib import Path

import numpy as np

from examples.learned_proposal import truth

ROWS = 6000


def main() -> None:
    walks = truth.walks(ROWS, np.random.default_rng(0)).astype(np.int8)
    np.savez_compressed(Path(__file__).parent / "walks.npz", walks=walks)


if __name__ == "__main__":
    main()
