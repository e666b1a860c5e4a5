"""Planted mistakes, each of which the checks of `checks.py` must reject: a check that passes them proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compose_lang.runtime.arrays import transforms
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels import gibbs, hmc, load_kernel, mala, mh, ula
from compose_lang.runtime.kernels.common import metropolis, rearrangement
from compose_lang.runtime.kernels.common.adaptation import windows
from compose_lang.runtime.kernels.gibbs import Gibbs
from compose_lang.runtime.kernels.hmc import HMC
from compose_lang.runtime.kernels.mala import Langevin
from compose_lang.runtime.kernels.mh import SingleSite
from tests.runtime.checks import BROKEN, SOUND, continuous_invariance, discrete_invariance
from tests.runtime.toy_blocks import (
    Target,
    ToyDiscrete,
    chain_of_spins,
    coloured_path,
    correlated,
    facing_orders,
    gamma_on_log_scale,
    tour,
    von_mises_fisher,
)

JAX = load_backend("jax")
NUMPY = load_backend("numpy")
FROZEN = windows(0)


def langevin(kind: type[Langevin], step: float = 0.3, corrected: bool = True) -> Any:
    return lambda block: kind(block, JAX, FROZEN, step, 0.574, corrected)


def hamiltonian(kind: type[HMC]) -> Any:
    return lambda block: kind(block, JAX, FROZEN, 0.3, 5, 0.8)


@pytest.mark.parametrize("module", [mh, mala, hmc])
def test_acceptance_with_the_wrong_sign(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(energy: Any, proposed: Any, backend: Any, correction: Any = 0.0) -> Any:
        return metropolis.acceptance(proposed, energy, backend, correction)

    def bind(block: Any) -> Any:
        return module.KERNEL.bind(block, JAX, {"step": 0.3}, 0)

    assert continuous_invariance(bind, gamma_on_log_scale(), JAX) > SOUND
    monkeypatch.setattr(module, "acceptance", wrong)
    assert continuous_invariance(bind, gamma_on_log_scale(), JAX) < BROKEN


def test_ula_climbing_instead_of_descending() -> None:
    sound = gamma_on_log_scale()
    flipped = Target(sound.size, sound.energy, lambda u, b: -sound.gradient(u, b), sound.draw)
    bind = lambda block: ula.KERNEL.bind(block, JAX, {"step": 0.01}, 0)  # noqa: E731
    assert continuous_invariance(bind, flipped, JAX, steps=40) < BROKEN


@pytest.mark.parametrize("module", [mh, mala, hmc])
def test_a_dropped_jacobian(module: Any) -> None:
    """Gamma(3, 1) on the log scale without its u: the energy of another density."""
    sound = gamma_on_log_scale(3.0)

    def energy(u: Any, backend: Any) -> Any:
        return sound.energy(u, backend) + backend.xp.sum(u, axis=-1)

    dropped = Target(sound.size, energy, lambda u, b: sound.gradient(u, b) + 1.0, sound.draw)
    bind = lambda block: module.KERNEL.bind(block, JAX, {"step": 0.3}, 0)  # noqa: E731
    assert continuous_invariance(bind, dropped, JAX) < BROKEN


@pytest.mark.parametrize("mutant", ["no density of the length", "the square of the length twice"])
@pytest.mark.parametrize("module", [mh, hmc])
def test_a_unit_vector_whose_length_is_weighed_wrongly(
    module: Any, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = transforms._unit_vector

    def wrong(u: Any, backend: Any) -> Any:
        value, log_det = sound(u, backend)
        return value, log_det * (0.0 if mutant == "no density of the length" else 2.0)

    bind = lambda block: module.KERNEL.bind(block, JAX, {"step": 0.5}, 0)  # noqa: E731
    assert continuous_invariance(bind, von_mises_fisher(), JAX) > SOUND
    monkeypatch.setattr(transforms, "_unit_vector", wrong)
    assert continuous_invariance(bind, von_mises_fisher(), JAX) < BROKEN


def test_mala_without_its_correction() -> None:
    assert continuous_invariance(langevin(Langevin), gamma_on_log_scale(), JAX) > SOUND
    assert continuous_invariance(langevin(Langevin, corrected=False), gamma_on_log_scale(), JAX) < BROKEN


def test_mala_that_leaves_out_the_proposal_densities() -> None:
    class Symmetric(Langevin):
        def correction(self, moved: Any, normal: Any, new_slope: Any, h: Any) -> Any:
            return 0.0 * moved[:, 0]

    assert continuous_invariance(langevin(Symmetric), gamma_on_log_scale(), JAX) < BROKEN


def test_mala_whose_reverse_density_divides_by_2h() -> None:
    class Halved(Langevin):
        def correction(self, moved: Any, normal: Any, new_slope: Any, h: Any) -> Any:
            back = h * new_slope - moved
            return JAX.xp.sum(0.5 * normal * normal - back * back / (2.0 * h), axis=-1)

    assert continuous_invariance(langevin(Halved), gamma_on_log_scale(), JAX) < BROKEN


def test_mala_whose_reverse_gradient_is_the_old_one() -> None:
    class Stale(Langevin):
        def correction(self, moved: Any, normal: Any, new_slope: Any, h: Any) -> Any:
            old_slope = (JAX.xp.sqrt(2.0 * h) * normal - moved) / h
            return super().correction(moved, normal, old_slope, h)

    assert continuous_invariance(langevin(Stale), gamma_on_log_scale(), JAX) < BROKEN


def test_hmc_that_does_not_draw_its_momentum_anew() -> None:
    class Stuck(HMC):
        def step(self, position: Any, state: Any, noise: Any, t: Any) -> Any:
            always = {**noise, "momentum": JAX.xp.ones_like(noise["momentum"])}
            return super().step(position, state, always, t)

    assert continuous_invariance(hamiltonian(HMC), correlated(), JAX) > SOUND
    assert continuous_invariance(hamiltonian(Stuck), correlated(), JAX) < BROKEN


def test_hmc_that_forgets_its_kinetic_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    def potential_only(energy: Any, proposed: Any, backend: Any, correction: Any = 0.0) -> Any:
        return metropolis.acceptance(energy, proposed, backend)

    monkeypatch.setattr(hmc, "acceptance", potential_only)
    assert continuous_invariance(hamiltonian(HMC), correlated(), JAX) < BROKEN


def test_nuts_that_draws_the_newest_point_of_its_subtrees() -> None:
    def bind(block: Any) -> Any:
        sound = load_kernel("nuts").bind(block, JAX, {"step": 0.3}, 0)

        class Newest:
            noise, init = sound.noise, staticmethod(sound.init)

            def step(self, position: Any, state: Any, noise: Any, t: Any) -> Any:
                return sound.step(position, state, {**noise, "point": 0.0 * noise["point"]}, t)

        return Newest()

    assert continuous_invariance(bind, correlated(), JAX) < BROKEN


@pytest.mark.parametrize("module", [gibbs, mh])
def test_a_class_whose_sites_share_a_factor(module: Any) -> None:
    target = chain_of_spins()
    together = lambda block: module.KERNEL.bind(  # noqa: E731
        ToyDiscrete(NUMPY, block.sites, block.values, block.table, ((0, 1, 2, 3),)), NUMPY, {}, 0
    )
    assert discrete_invariance(lambda block: module.KERNEL.bind(block, NUMPY, {}, 0), target, NUMPY) > SOUND
    assert discrete_invariance(together, target, NUMPY) < BROKEN


def test_gibbs_with_the_wrong_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = gibbs.softmax_weights
    monkeypatch.setattr(gibbs, "softmax_weights", lambda energies, backend: weights(-energies, backend))
    assert discrete_invariance(lambda block: Gibbs(block, NUMPY, (-1, 1)), chain_of_spins(), NUMPY) < BROKEN


def test_gibbs_that_gives_impossible_values_some_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = gibbs.softmax_weights
    monkeypatch.setattr(gibbs, "softmax_weights", lambda e, backend: np.maximum(weights(e, backend), 1e-3))
    bind = lambda block: Gibbs(block, NUMPY, (0, 1, 2, 3))  # noqa: E731
    assert discrete_invariance(bind, coloured_path(), NUMPY) == 0.0


def test_mh_whose_sites_all_flip_at_once() -> None:
    """Always proposing another value: at a flat density what two sites have in common never changes."""

    class Restless(SingleSite):
        def propose(self, current: Any, uniform: Any) -> Any:
            return -current

    flat = chain_of_spins(coupling=0.0, field=0.0)
    assert discrete_invariance(lambda block: SingleSite(block, NUMPY), flat, NUMPY) > SOUND
    assert discrete_invariance(lambda block: Restless(block, NUMPY), flat, NUMPY) < BROKEN


def test_mh_with_a_lopsided_proposal() -> None:
    class Lopsided(SingleSite):
        def propose(self, current: Any, uniform: Any) -> Any:
            return np.where(uniform < 0.7, 1, -1)

    assert discrete_invariance(lambda block: Lopsided(block, NUMPY), chain_of_spins(), NUMPY) < BROKEN


def test_orderings_that_are_kept_though_the_energy_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = metropolis.acceptance
    bind = lambda block: mh.KERNEL.bind(block, NUMPY, {}, 0)  # noqa: E731
    assert discrete_invariance(bind, tour(), NUMPY) > SOUND
    monkeypatch.setattr(
        rearrangement,
        "acceptance",
        lambda energy, proposed, backend: sound(0.5 * energy, 0.5 * proposed, backend),
    )
    assert discrete_invariance(bind, tour(), NUMPY) < BROKEN


def test_orderings_of_one_class_that_share_a_factor() -> None:
    apart = facing_orders()
    together = replace(apart, members=((0, 1),))
    bind = lambda block: mh.KERNEL.bind(block, NUMPY, {}, 0)  # noqa: E731
    assert discrete_invariance(bind, apart, NUMPY) > SOUND
    assert discrete_invariance(bind, together, NUMPY) < BROKEN
