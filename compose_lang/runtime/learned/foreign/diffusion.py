"""The net of a diffusers pipeline as the score of a noised image, at a standard deviation of noise on the image itself.

The net was trained on z = x / sqrt(1 + σ²), an image of variance kept by its scheduler, at step t where
σ_t = sqrt((1 - ᾱ_t) / ᾱ_t). It predicts the noise ε, or what tells it: the image, x₀ = z sqrt(1 + σ²) - σ ε, or the
velocity v = (ε - σ x₀) / sqrt(1 + σ²) (Salimans and Ho, ICLR 2022). Then ∇E(x) = ε / σ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel

from compose_lang.compiler.graph.learned_factor import LearnedFactor


def load(part: LearnedFactor) -> torch.nn.Module:
    assert part.file is not None
    net = UNet2DModel.from_pretrained(
        part.file / "unet", use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    return Slope(net, part.options["prediction"], part.options["kept"])


class Slope(torch.nn.Module):
    """(n, *shape) at images and levels (n,) -> ∇E, (n, *shape). net: (z, steps, classes) -> what it predicts."""

    def __init__(self, net: Any, prediction: str, kept: np.ndarray) -> None:
        super().__init__()
        self.net = net
        self.prediction = prediction
        self.register_buffer("log_levels", torch.as_tensor(0.5 * np.log((1.0 - kept) / kept)))

    def forward(self, x: torch.Tensor, *classes: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
        step, log_level = self.step(noise_level)
        level = torch.exp(log_level).to(x.dtype).reshape((-1, *(1,) * (x.ndim - 1)))
        whole = torch.sqrt(1.0 + level**2)
        z = x / whole
        found = self.net(z, step.to(x.dtype), *classes).sample
        if self.prediction == "epsilon":
            noise = found
        elif self.prediction == "sample":
            noise = (x - found) / level
        else:
            noise = (found + level * z) / whole
        return noise / level

    def step(self, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The scheduler's step, a real, at which noise has a level, and the log of the level: the ends beyond them."""
        table: torch.Tensor = self.log_levels  # type: ignore[assignment]
        wanted = torch.clamp(torch.log(level.to(table.dtype)), table[0], table[-1])
        below = torch.clamp(torch.searchsorted(table, wanted, right=True) - 1, 0, len(table) - 2)
        share = (wanted - table[below]) / (table[below + 1] - table[below])
        return below + share, wanted
