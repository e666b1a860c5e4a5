"""Draw `scenes.png`: draws for one, three and five places that are asked for, which are framed."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import compose_lang as cg

HERE = Path(__file__).parent
ASKED = [0, 2, 3, 7, 8]


def main() -> None:
    figure, axes = plt.subplots(3, 3, figsize=(5, 5.3), layout="constrained")
    for count, column in zip([1, 3, 5], axes.T, strict=True):
        asked = ASKED[:count]
        model = cg.compile(str(HERE / "scenes.cg"), data={"asked": asked})
        scenes = np.asarray(model.sample(seed=0, chains=1, draws=3).posterior["scene"])[0]
        for axis, scene in zip(column, scenes, strict=True):
            axis.imshow(scene, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            for place in asked:
                corner = (5 * (place % 3) - 0.5, 5 * (place // 3) - 0.5)
                axis.add_patch(Rectangle(corner, 5, 5, fill=False, edgecolor="tab:orange", linewidth=1.5))
            axis.set(xticks=[], yticks=[])
        column[0].set_title(f"{count} asked for")
    figure.savefig(HERE / "scenes.png", dpi=100)


if __name__ == "__main__":
    main()
