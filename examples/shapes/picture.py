"""Draw `shapes.png`: the parts as they were shown, and draws of their product, mixture and contrast."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent
COMPOSED = {"product": "Ring * Bar", "mixture": "0.8 * Ring + 0.2 * Bar", "contrast": "contrast(Ring, Blob)"}


def main() -> None:
    rows = np.load(HERE / "shapes.npz")
    figure, axes = plt.subplots(1, 6, figsize=(14, 2.7), layout="constrained", sharex=True, sharey=True)
    for axis, name in zip(axes, ["ring", "bar", "blob"], strict=False):
        axis.plot(*rows[name][:2000].T, ",", color="tab:gray")
        axis.set(title=f"shown: {name}", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    for axis, (name, title) in zip(axes[3:], COMPOSED.items(), strict=True):
        run = cg.compile(str(HERE / f"{name}.cg")).sample(seed=0, chains=1, draws=2000)
        axis.plot(*np.asarray(run.posterior["x"]).reshape(-1, 2).T, ",", color="tab:blue")
        axis.set(title=title, aspect="equal")
    figure.savefig(HERE / "shapes.png", dpi=90)


if __name__ == "__main__":
    main()
