"""Informed proposals: what is relaxed is the energy, every way to propose is exact, and planted mistakes are caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.analyses.relaxation import changes
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels import gwg
from compose_lang.runtime.kernels.gwg import Informed
from tests.compiler.points import graph_of
from tests.runtime.checks import BROKEN, SOUND, discrete_invariance
from tests.runtime.program_targets import CHANGES, ProgramTarget

NUMPY, JAX = load_backend("numpy"), load_backend("jax")


def weighed(text: str, backend: Any) -> tuple[np.ndarray, np.ndarray, ProgramTarget]:
    """Energies (states,) and differences (states, sites, values) of a program at all its states."""
    target = ProgramTarget(text, "gwg")
    with backend.scope():
        block = target.block(backend)
        found = block.energy_and_changes({"s": backend.asarray(target.states())})
        return backend.to_numpy(found[0]), backend.to_numpy(found[1]), target


@pytest.mark.parametrize("name", CHANGES)
def test_energies_are_the_programs_and_differences_by_factors_exact(name: str) -> None:
    energy, difference, target = weighed(CHANGES[name], NUMPY)
    log_p = np.log(np.maximum(target.probabilities(), 1e-300))
    feasible = np.isfinite(energy)
    assert np.ptp((energy + log_p)[feasible]) < 1e-9
    states = target.states()
    place = {tuple(state): k for k, state in enumerate(states)}
    (s,) = target.graph.variables
    for k in np.flatnonzero(feasible):
        for i in range(s.free_sites):
            for v, value in enumerate(s.type.domain.values):
                changed = states[k].copy()
                changed[i] = value
                expected = energy[place[tuple(changed)]] - energy[k]
                np.testing.assert_allclose(difference[k, i, v], expected, atol=1e-9)


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile takes longer than all of this."""
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_gradients_tell_the_differences_of_what_is_linear_in_each_site(backend: str) -> None:
    text = "var s: spin[4]\nenergy -0.7 * sum(s[:-1] * s[1:]) + 0.4 * s[0] * s[1] * s[3] - 0.3 * s[2]"
    (_, exact, _), (_, found, _) = weighed(text, NUMPY), weighed(text, load_backend(backend))
    np.testing.assert_allclose(found, exact, atol=1e-12)


@pytest.mark.parametrize(
    ("statement", "is_smooth"),
    [
        ("energy exp(0.1 * sum(s)) + sum(s[1:])^2", True),
        ("let w = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]\nenergy -sum(tanh(w @ s))", True),
        ("energy if sum(s) > 1 then 1 else 0", False),
        ("let w = [0.5, 1, 2]\nenergy w[s[0]]", False),
        ("energy if s[0] == s[1] then 1 else 0", False),
        ("energy 0.3 * (s[0] // 2)", False),
        ("require sum(s) <= 4", False),
    ],
)
def test_what_has_a_gradient(statement: str, is_smooth: bool) -> None:
    graph = graph_of(f"var s: int(0, 2)[3]\n{statement}")
    found = changes(graph, graph.variables[0], with_gradient=True)
    assert (len(found.relaxed) == 1) == is_smooth
    assert len(found.exact) == 1 - len(found.relaxed)


@pytest.mark.parametrize("balance", ["sqrt", "barker"])
@pytest.mark.parametrize("propose", ["path", "site", "langevin"])
@pytest.mark.parametrize("name", ["numbers", "a hard constraint"])
def test_every_way_to_propose_is_exact(propose: str, balance: str, name: str) -> None:
    options = {"propose": propose, "balance": balance, "moves": 2}
    options |= {"step": 0.7} if propose == "langevin" else {}
    target = ProgramTarget(CHANGES[name], "gwg")
    bind = lambda block: gwg.KERNEL.bind(block, NUMPY, options, 0)  # noqa: E731
    assert discrete_invariance(bind, target, NUMPY, chains=1000) > SOUND


@pytest.mark.parametrize("propose", ["path", "langevin"])
def test_rough_differences_propose_and_do_not_decide(propose: str) -> None:
    """Differences that are wrong by a factor and an offset: the draws stay right."""
    from compose_lang.runtime.views.single_changes import Changing

    class Rough(Changing):
        def energy_and_changes(self, position: Any) -> Any:
            energy, difference = super().energy_and_changes(position)
            return energy, 0.4 * difference + 0.3 * np.sin(np.arange(difference.shape[1]))[:, None]

    def bind(block: Any) -> Any:
        rough = Rough(block.density, block.changes, block.tables)
        return gwg.KERNEL.bind(rough, NUMPY, {"propose": propose, "moves": 2}, 0)

    target = ProgramTarget(CHANGES["a square of the sum"], "gwg")
    assert discrete_invariance(bind, target, NUMPY) > SOUND


def test_the_planner_takes_gradients_where_all_sites_hang_together() -> None:
    text = "var z: bool[{n}]\nenergy 0.05 * (sum(z) - 4)^2\n{more}"
    assert "gwg(propose=langevin) draws z" in cg.compile(text.format(n=40, more="")).explain()
    assert "gibbs draws z" in cg.compile(text.format(n=40, more="require sum(z) < 9")).explain()
    assert "gibbs draws z" in cg.compile(text.format(n=40, more="")).explain(backend="numpy")


def test_the_sum_of_many_bits_is_right() -> None:
    """Sixty bits that their sum ties together: its distribution is known."""
    run = cg.sample(
        "var z: bool[60]\nenergy 0.05 * (sum(z) - 20)^2\nlet n = sum(z)",
        seed=1,
        chains=4,
        draws=400,
        warmup=100,
    )
    n = np.arange(61)
    from scipy.special import gammaln

    log_p = gammaln(61) - gammaln(n + 1) - gammaln(61 - n) - 0.05 * (n - 20) ** 2
    p = np.exp(log_p - log_p.max())
    row = run.summary()["n"]
    assert abs(row["mean"] - (n * p).sum() / p.sum()) < 4.5 * row["mcse_mean"]
    assert run.statistics["acceptance_rate"].mean() == pytest.approx(0.574, abs=0.1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('propose="walk"', "one of path, site, langevin"),
        ("step=0.3", 'counts with propose="langevin" only'),
        ('propose="site", length=3', 'counts with propose="path" only'),
        ("moves=0", "above 0"),
    ],
)
def test_options_that_make_no_sense(options: str, told: str) -> None:
    with pytest.raises(cg.ComposeError) as refused:
        cg.compile("var z: bool[4]").explain(method=f"gwg({options})")
    (wrong,) = refused.value.diagnostics
    assert wrong.code == "CG0602" and told in wrong.message


TIED = "var s: spin[3]\nenergy 1.5 * s[0] * s[1] + 0.3 * s[2]\nenergy 0.8 * s[0]"


# --- planted mistakes ---------------------------------------------------------------------------------


def invariance(kind: type[Informed], way: str, name: str = "numbers") -> float:
    bind = lambda block: kind(block, NUMPY, way, "sqrt", 2, 1.5, False, 0)  # noqa: E731
    return discrete_invariance(bind, ProgramTarget(CHANGES[name], "gwg"), NUMPY, chains=3000)


@pytest.mark.parametrize("way", ["path", "site", "langevin"])
def test_without_the_densities_of_the_proposals(way: str) -> None:
    class Symmetric(Informed):
        def path(self, *given: Any) -> Any:
            found = super().path(*given)
            return found._replace(correction=0.0 * found.correction)

        def langevin(self, *given: Any) -> Any:
            found = super().langevin(*given)
            return found._replace(correction=0.0 * found.correction)

    assert invariance(Informed, way) > SOUND
    assert invariance(Symmetric, way) < BROKEN


def test_a_path_that_forgets_what_it_has_drawn() -> None:
    """The second site of a path is drawn among those left: its density is higher than that of a first."""

    class Forgetful(Informed):
        def left(self, log_worth: Any, order: Any) -> Any:
            return np.broadcast_to(super().left(log_worth, order)[:, :1], order.shape)

    for kind, is_sound in ((Informed, True), (Forgetful, False)):
        bind = lambda block, kind=kind: kind(block, NUMPY, "path", "sqrt", 1, 1.5, False, 0)  # noqa: E731
        p_value = discrete_invariance(bind, ProgramTarget(TIED, "gwg"), NUMPY)
        assert p_value > SOUND if is_sound else p_value < BROKEN


def test_differences_kept_from_before() -> None:
    """After a move the differences must be those of the place the chain has come to."""

    class Stale(Informed):
        def path(self, position: Any, changes: Any, scale: Any, noise: Any) -> Any:
            found = super().path(position, changes, scale, noise)
            return found._replace(changes=changes)

    bind = lambda block: Stale(block, NUMPY, "site", "sqrt", 4, 1.5, False, 0)  # noqa: E731
    assert discrete_invariance(bind, ProgramTarget(TIED, "gwg"), NUMPY, chains=8000) < BROKEN
