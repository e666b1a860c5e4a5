"""Draw `tables.png`: the divergence from the truth against the number of samples, as `benchmarks/` measured it."""

import csv
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks/composition/tables.csv"


def main() -> None:
    with RESULTS.open(encoding="utf-8") as file:
        rows = [(int(r["k"]), int(r["size"]), r["model"], float(r["kl"])) for r in csv.DictReader(file)]
    ks = sorted({k for k, *_ in rows})
    figure, axes = plt.subplots(1, len(ks), figsize=(2.6 * len(ks), 2.8), layout="constrained", sharey=True)
    for axis, k in zip(axes, ks, strict=True):
        for model, colour in (("factored", "#2e86ab"), ("joint", "#d1495b")):
            sizes = sorted({n for one, n, *_ in rows if one == k})
            of = [[kl for one, m, name, kl in rows if (one, m, name) == (k, n, model)] for n in sizes]
            axis.plot(sizes, [sum(v) / len(v) for v in of], "-", color=colour, label=model)
            for n, values in zip(sizes, of, strict=True):
                axis.plot([n] * len(values), values, ".", color=colour, alpha=0.5)
        axis.set(title=f"{k} values each", xlabel="samples", xscale="log", yscale="log")
    axes[0].set(ylabel="KL from the truth, nats")
    axes[0].legend(frameon=False)
    figure.savefig(HERE / "tables.png", dpi=100)


if __name__ == "__main__":
    main()
