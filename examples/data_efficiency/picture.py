"""Draw `data_efficiency.png`: the product of two learned factors beside one joint model, and their errors."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg
from benchmarks.composition import data_efficiency as benchmark

HERE = Path(__file__).parent

COLOURS = {"composed": "#2e86ab", "joint": "#d1495b", "truth": "#888888"}


def main() -> None:
    programs = {"composed": "product.cg", "joint": "joint.cg"}
    draws = {"truth": benchmark.truth.product(np.random.default_rng(1), 800)}
    for name, program in programs.items():
        run = cg.compile(str(HERE / program)).sample(seed=0, chains=2, draws=400)
        draws[name] = np.asarray(run.posterior["x"]).reshape(-1, 2)
    figure, axes = plt.subplots(1, 4, figsize=(11, 2.8), layout="constrained")
    for axis, (name, x) in zip(axes, draws.items(), strict=False):
        axis.plot(*x.T, ".", markersize=2, color=COLOURS[name])
        axis.set(title=name, xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", xticks=[], yticks=[])
    for name, of in benchmark.table("product", "mmd").items():
        axes[3].plot(
            list(of), [values.mean() for values in of.values()], "-", color=COLOURS[name], label=name
        )
        for size, values in of.items():
            axes[3].plot([size] * len(values), values, ".", color=COLOURS[name], alpha=0.5)
    axes[3].set(xscale="log", xlabel="rows for each factor", title="squared MMD")
    axes[3].legend(frameon=False)
    figure.savefig(HERE / "data_efficiency.png", dpi=100)


if __name__ == "__main__":
    main()
