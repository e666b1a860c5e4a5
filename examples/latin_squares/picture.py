"""Draw `squares.png`: some Latin squares, and how often each of the 576 was drawn, beside what chance gives."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import compose_lang as cg

HERE = Path(__file__).parent
SQUARES = 576  #: of order 4


def main() -> None:
    run = cg.compile(HERE / "latin_squares.cg").sample(seed=0, chains=4, draws=3000, warmup=100)
    cells = np.asarray(run.posterior["cell"]).reshape(-1, 4, 4)
    figure = plt.figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for axes, square in zip(left.subplots(3, 4).flat, cells[:: len(cells) // 12], strict=False):
        axes.imshow(square, cmap="viridis")
        for (i, j), symbol in np.ndenumerate(square):
            axes.text(j, i, "ABCD"[symbol], ha="center", va="center", color="white", fontsize=8)
        axes.axis("off")
    _, counts = np.unique(cells.reshape(-1, 16), axis=0, return_counts=True)
    axes = right.subplots()
    drawn = np.arange(counts.max() + 2)
    axes.hist(counts, bins=drawn - 0.5, color="#2e86ab", label=f"{len(counts)} squares")
    expected = SQUARES * stats.binom.pmf(drawn, len(cells), 1 / SQUARES)
    axes.plot(drawn, expected, color="#d1495b", label="independent draws")
    axes.set(xlabel="how often a square is drawn", ylabel="squares")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    figure.savefig(HERE / "squares.png", dpi=100)


if __name__ == "__main__":
    main()
