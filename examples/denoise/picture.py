"""Draw `denoised.png` (each pixel by majority) and `denoise.png` (true, noisy, denoised in a row)."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    run = cg.compile(str(HERE / "denoise.cg")).sample(seed=0, chains=2, draws=200, warmup=200)
    white = np.asarray(run.posterior["clean"]).mean((0, 1)) > 0
    Image.fromarray(np.where(white, 255, 0).astype(np.uint8)).save(HERE / "denoised.png")
    true = np.asarray(Image.open(HERE / "clean.png")) > 127
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained")
    for axis, name in zip(axes, ["clean", "noisy", "denoised"], strict=True):
        image = np.asarray(Image.open(HERE / f"{name}.png")) > 127
        axis.imshow(image, cmap="gray", interpolation="nearest")
        axis.set(title=f"{name}: {(image != true).mean():.1%} wrong", xticks=[], yticks=[])
    figure.savefig(HERE / "denoise.png", dpi=100)


if __name__ == "__main__":
    main()
