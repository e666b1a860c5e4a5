"""Draw `tapestry.png`: canvases of boxes drawn each by itself, and of boxes joined by strips over their seams."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    figure, axes = plt.subplots(2, 4, figsize=(9, 3.6), layout="constrained")
    for row, joined, title in zip(axes, [False, True], ["boxes alone", "composed"], strict=True):
        model = cg.compile(str(HERE / "tapestry.cg"), constants={"joined": joined})
        canvas = np.asarray(model.sample(seed=0, chains=1, draws=8).posterior["canvas"])[0]
        for axis, shown in zip(row, canvas, strict=False):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(title)
    figure.savefig(HERE / "tapestry.png", dpi=100)


if __name__ == "__main__":
    main()
