"""Draw `discovered_parts.png`: pairs of scenes and their two hybrids; framed are those that no scene is like."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import compose_lang as cg
from examples.discovered_parts.make_data import GREYS, MIDDLE, read

HERE = Path(__file__).parent
PAIRS = 8


def main() -> None:
    model = cg.compile(str(HERE / "discovered_parts.cg"))
    hybrids = np.asarray(model.sample(seed=0, chains=1, draws=1).posterior["x"])[0, 0]
    with np.load(HERE / "scenes.npz") as file:
        rows = {"one scene": file["one"] / GREYS, "another": file["other"] / GREYS}
    rows["first of one,\nsecond of another"] = hybrids[:, 0]
    rows["first of another,\nsecond of one"] = hybrids[:, 1]
    figure, axes = plt.subplots(len(rows), PAIRS, figsize=(9, 5), layout="constrained")
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        places, _ = read(pictures)
        for axis, shown, at in zip(row, pictures, places, strict=False):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=2, interpolation="nearest")
            if (at > MIDDLE).all():
                axis.add_patch(Rectangle((-0.5, -0.5), 8, 8, fill=False, edgecolor="tab:orange", linewidth=3))
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.savefig(HERE / "discovered_parts.png", dpi=100)


if __name__ == "__main__":
    main()
