"""Draw `inverse_ising.png`: the couplings that were found against those that made the snapshots."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    found = cg.compile(str(HERE / "inverse_ising.cg")).fitted().params
    truth = np.load(HERE / "snapshots.npz")
    figure, axes = plt.subplots(figsize=(4.5, 4.2), layout="constrained")
    axes.axline((0, 0), slope=1, color="0.8", zorder=0)
    for name, marker in (("right", "o"), ("down", "s"), ("field", "^")):
        axes.plot(np.ravel(truth[name]), np.ravel(found[name]), marker, label=name, alpha=0.8)
    axes.set(xlabel="true", ylabel="found from 1,000 snapshots", aspect="equal")
    axes.legend()
    figure.savefig(HERE / "inverse_ising.png", dpi=100)


if __name__ == "__main__":
    main()
