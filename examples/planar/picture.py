"""Draw `planar.png`: draws of the product, the mixture and the contrast of a ring and a blob."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharex=True, sharey=True)
    for axis, name in zip(axes, ["product", "mixture", "contrast"], strict=True):
        run = cg.compile(str(HERE / f"{name}.cg")).sample(seed=0, chains=4, draws=1000, warmup=500)
        x, y = np.asarray(run.posterior["x"]).reshape(-1, 2).T
        axis.plot(x, y, ",", alpha=0.6)
        axis.set(title=name, xlim=(-3.5, 4.5), ylim=(-4, 4), aspect="equal")
    figure.savefig(HERE / "planar.png", dpi=100)


if __name__ == "__main__":
    main()
