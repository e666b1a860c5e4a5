"""Write the data of the programs: 200 rows for each factor, 400 for each joint model; the seed is fixed."""

from pathlib import Path

import numpy as np

from examples.data_efficiency import truth

HERE = Path(__file__).parent
ROWS = 200


def main() -> None:
    rng = np.random.default_rng(0)
    first, second = (np.round(truth.bumps(rng, ROWS, axis), 4) for axis in (0, 1))
    lines = ["first,second", *(f"{a},{b}" for a, b in zip(first, second, strict=True))]
    (HERE / "factors.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    left, right = truth.ring(rng, ROWS, 0), truth.ring(rng, ROWS, 1)
    np.savez(HERE / "rings.npz", left=left, right=right)
    np.savez(HERE / "joint.npz", product=truth.product(rng, 2 * ROWS), mixture=np.concatenate([left, right]))


if __name__ == "__main__":
    main()
