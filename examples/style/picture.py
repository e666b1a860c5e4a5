"""Draw `style.png`: the ten digits of the large model alone, of the small model's style, and of their product."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    rows = {}
    for name, styled in [("large model", False), ("product", True)]:
        run = cg.compile(str(HERE / "style.cg"), constants={"styled": styled}).sample(
            seed=0, chains=1, draws=64
        )
        rows[name] = np.asarray(run.posterior["x"])[0, 0]
    with np.load(HERE / "style.npz") as file:
        rows["style"] = file["picture"][:10] / 63
    figure, axes = plt.subplots(3, 10, figsize=(9, 3), layout="constrained")
    for row, name in zip(axes, ["large model", "style", "product"], strict=True):
        for axis, shown in zip(row, rows[name], strict=True):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.savefig(HERE / "style.png", dpi=100)


if __name__ == "__main__":
    main()
