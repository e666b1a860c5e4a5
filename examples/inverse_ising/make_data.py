"""Write `snapshots.npz`: couplings and a field drawn at random, and exact draws of the spins that they give."""

from pathlib import Path

import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent
MODEL = """
data right: real[5, 4]
data down: real[4, 5]
data field: real
var s: spin[5, 5]
for i in range(5), j in range(4) { energy -right[i, j] * s[i, j] * s[i, j + 1] }
for i in range(4), j in range(5) { energy -down[i, j] * s[i, j] * s[i + 1, j] }
for i in range(5), j in range(5) { energy -field * s[i, j] }
"""


def main() -> None:
    rng = np.random.default_rng(1975)
    truth = {"right": rng.normal(0, 0.5, (5, 4)), "down": rng.normal(0, 0.5, (4, 5)), "field": np.array(0.1)}
    run = cg.compile(MODEL, data=truth).sample(seed=0, chains=1, draws=1000)
    assert run.manifest.plan[0]["kernel"] == "exact"
    spins = np.asarray(run.posterior["s"])[0].astype(np.int8)
    np.savez_compressed(HERE / "snapshots.npz", spins=spins, **truth)


if __name__ == "__main__":
    main()
