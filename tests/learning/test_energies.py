"""What a diffusion's energies say of regions far apart, against the density that the rows were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net, Port
from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.discovery import LEARNERS
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned.learners import diffusion
from compose_lang.runtime.learning.trainer import Trainer

SHARE, PLACE, WIDTH = 0.8, 0.5, 0.03


def error_between_modes(seed: int, steps: int, width: int) -> float:
    """How far the learned energies of two blobs differ from what they should, at noise a third of their width."""
    rng = np.random.default_rng(seed)
    is_left = rng.random(2000) < SHARE
    x = np.where(is_left, -PLACE, PLACE) + WIDTH * rng.standard_normal(2000)
    options = {**LEARNERS["diffusion"].options, "steps": steps, "batch": 256, "rate": 0.01, "seed": seed}
    net = Net("mlp", (width, width))
    part = LearnedFactor("P", "diffusion", (Port("x", Type(REAL)),), (), net, options, {"x": x}, None)
    weights = Trainer(part).run().weights
    level = np.full(2000, WIDTH / 3)
    noised = x + level * rng.standard_normal(2000)
    learned = np.asarray(diffusion.energy(part, load_backend("numpy"), weights, level, [noised], []))
    share, place = np.where(is_left, SHARE, 1 - SHARE), np.where(is_left, -PLACE, PLACE)
    off = learned + norm.logpdf(noised, place, np.hypot(WIDTH, level)) + np.log(share)
    return float(off[is_left].mean() - off[~is_left].mean())


def test_energies_of_distant_modes_compare_though_slopes_alone_say_nothing(monkeypatch):
    """A short training leaves nats; one on slopes alone leaves many times as many."""
    found = abs(error_between_modes(0, 250, 16))
    monkeypatch.setattr(diffusion, "SHARE", 0.0)
    assert 4 * found < abs(error_between_modes(0, 250, 16))


@pytest.mark.slow
def test_energies_of_distant_modes_differ_as_their_shares_do():
    assert abs(error_between_modes(0, 2000, 32)) < 0.6
