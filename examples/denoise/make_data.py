"""Write `clean.png` and `noisy.png`: a hand-written digit, and the same with 15 % of its pixels flipped.

The digit is scikit-learn's, smoothed to 64 by 64 pixels in black and white; the seed is fixed.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

FLIPPED = 0.15


def save(name: str, white: np.ndarray) -> None:
    Image.fromarray(np.where(white, 255, 0).astype(np.uint8)).save(Path(__file__).parent / name)


def main() -> None:
    digit = np.pad(load_digits().images[0], 1)
    clean = zoom(digit, 6.4, order=3) > 8
    flips = np.random.default_rng(0).random(clean.shape) < FLIPPED
    save("clean.png", clean)
    save("noisy.png", clean ^ flips)


if __name__ == "__main__":
    main()
