"""Draw `two_writers.png`: the likeliest words of the product, of the program's draws, and letter by letter."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.composition import two_writers as benchmark

HERE = Path(__file__).parent

MOST = 14
LINES = {name: f"var w: category(4)[5] ~ {name}" for name in ("First", "Second")}


def main() -> None:
    first, second = (benchmark.tabulated(HERE / "product.cg", line) for line in LINES.values())
    product = first * second / (first * second).sum()
    naive = benchmark.letter_by_letter(first, second)
    drawn = benchmark.shares(benchmark.drawn(HERE / "product.cg", chains=64, draws=100))
    order = np.argsort(-(product + naive))[:MOST]
    labels = ["".join("abcd"[k] for k in benchmark.WORDS[i]) for i in order]
    figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
    bars = [("the product", product, "#66a182"), ("the program's draws", drawn, "#2e86ab"),
            ("letter by letter", naive, "#d1495b")]  # fmt: skip
    for k, (label, of, colour) in enumerate(bars):
        axis.bar(np.arange(MOST) + 0.27 * (k - 1), of[order], 0.27, label=label, color=colour)
    axis.set(xticks=range(MOST), ylabel="probability")
    axis.set_xticklabels(labels, family="monospace", rotation=45)
    axis.legend(frameon=False)
    figure.savefig(HERE / "two_writers.png", dpi=100)


if __name__ == "__main__":
    main()
