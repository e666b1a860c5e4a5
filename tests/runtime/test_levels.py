"""A density only computes, and a level is one mechanism: every view's energies at a share are that share of all."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.api.bindings import requested
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.diagnostics import InternalError
from compose_lang.runtime.arrays.noise import chain_keys
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.elimination.passes import Passes
from compose_lang.runtime.kernels import kernel_names
from compose_lang.runtime.learning import obtain
from compose_lang.runtime.planning.plan import plan
from compose_lang.runtime.views.views import Views
from tests.compiler.points import graph_of, views_on

NUMPY = load_backend("numpy")
CHAINS, SHARE = 3, 0.4
SPINS = "var s: spin[4]\nfor (i, j) in chain(4) { energy -0.5 * s[i] * s[j] }\nenergy 0.3 * s[0]\n"
REALS = "var x: real[2] ~ Normal(1, 2)\nvar y: positive ~ Exponential(1)\nenergy 0.3 * (x[0] - y)^2\n"
PROGRAMS = {
    "blocks": SPINS,
    "exact": SPINS,
    "exchange": "var s: bool[4]\nrequire sum(s) == 2\nenergy 0.7 * s[0] - 0.4 * s[2] * s[1]\n",
    "gibbs": SPINS + "energy 0.2 * sum(s)^3\n",
    "gwg": SPINS + "energy 0.2 * sum(s)^2\n",
    "kempe": "var s: category(3)[3]\nfor (i, j) in chain(3) { require s[i] != s[j] }\nenergy 0.6 * s[0] - s[2]\n",
    "swendsen_wang": SPINS,
    "trees": SPINS,
    **dict.fromkeys(("hit_and_run", "hmc", "mala", "mh", "nuts", "ula"), REALS),
    "slice": "var x: real[3]\nfor (i, j) in chain(3) { energy 0.5 * (x[i] - x[j])^2 }\nenergy x[0]^2",
}
"""For each kernel a program that it serves."""


def energies_of(kernel: str, views: Views, level: Level) -> list[Any]:
    """The energies that a kernel reads of its view where chains start, each with the chains first."""
    (block,) = views.blocks
    position = find_start(views.density, chain_keys(1, np.arange(CHAINS), 0, NUMPY))
    view = views.block(block.variables, block.kernel, level)
    zero = np.zeros(CHAINS, dtype=np.int64)
    match kernel:
        case "blocks":
            candidates, _ = view.candidates(position, zero)
            return [view.energies(position, zero, candidates)]
        case "exact":
            return tables_of(lambda: view.draw(position, np.full((CHAINS, view.sites), 0.5)))
        case "exchange":
            first = np.broadcast_to(view.members_of(0)[:, 0], (CHAINS, view.width))
            second = np.broadcast_to(view.members_of(0)[:, 1], (CHAINS, view.width))
            one, other = (view.current(position, sites)[..., None] for sites in (first, second))
            return [view.energies(position, first, second, one, other)]
        case "gibbs":
            values = np.broadcast_to([-1, 1], (CHAINS, view.width, 2))
            return [view.energies(position, cls, values) for cls in range(view.classes)]
        case "gwg":
            return [*view.energy_and_changes(position)]
        case "kempe":
            return [view.energy(position, view.places(position))]
        case "hit_and_run":
            held = view.hold(position)
            return [view.energy(view.ravel(held), held)]
        case "slice":
            held, _ = views.density.constrain(position)
            here = [view.current(held, cls)[:, :, None, :] for cls in range(view.classes)]
            return [
                view.energies(held, cls, np.concatenate([x, x + 0.3], axis=2)) for cls, x in enumerate(here)
            ]
        case "swendsen_wang":
            couplings = np.broadcast_to(view.couplings, (CHAINS, view.pairs))
            return [view.field(position), couplings]
        case "trees":
            return tables_of(lambda: view.draw(position, 0, np.full((CHAINS, view.sizes[0]), 0.5)))
    jacobian = view.density.energy_of(position, (), view.moved)
    return [view.energy(view.ravel(position), position) - jacobian]


def tables_of(draw: Callable[[], Any]) -> list[Any]:
    """The tables of energies that a joint draw passes on, each with the chains first."""
    seen: list[Any] = []

    class Stopped(Exception):  # noqa: N818 - nothing is wrong
        pass

    def gather(passes: Passes, tables: list[Any]) -> Any:
        seen.extend(np.broadcast_to(t, (CHAINS, *t.shape[1:])) for t in tables)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Passes, "gather", gather)
        draw()
    return seen


@pytest.mark.parametrize("kernel", kernel_names())
def test_a_share_of_the_energy_is_that_share_of_what_a_kernel_sees(kernel: str) -> None:
    assert kernel in PROGRAMS, "a program that this kernel serves"
    graph = graph_of(PROGRAMS[kernel])
    chosen = plan(graph, "numpy" if "s" in graph.variables[0].name else "jax", requested(kernel))
    assert [block.kernel for block in chosen.blocks] == [kernel]
    views = views_on(graph, NUMPY, chosen)
    level = Level(share=np.full(CHAINS, SHARE))
    with NUMPY.scope():
        full, part = (energies_of(kernel, views, at) for at in (Level(), level))
        position = find_start(views.density, chain_keys(1, np.arange(CHAINS), 0, NUMPY))
        whole = views.density.energy_of(position, graph.groups, (), level)
        np.testing.assert_allclose(
            whole, SHARE * views.density.energy_of(position, graph.groups, ()), rtol=1e-12
        )
    for one, other in zip(full, part, strict=True):
        finite = np.isfinite(one)
        np.testing.assert_array_equal(np.isfinite(other), finite)
        np.testing.assert_allclose(other[finite], SHARE * one[finite], rtol=1e-12)


def test_a_density_reads_no_file_and_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights given all is known; without them it refuses, and looks for none."""
    text = "data p: real[_]\ndensity P(x: real) = learn flow(x=p, net=mlp(4), steps=5, layers=2)\nvar x: real ~ P"
    graph = cg.compile(text, data={"p": np.linspace(-1.0, 1.0, 40)}).program.graph
    weights = obtain.by_part(obtain.obtain(used_by(graph)))

    def forbidden(*given: object, **more: object) -> Any:
        raise AssertionError("a density reads no file and trains nothing")

    for name in ("open", "exists", "read_bytes", "read_text", "stat"):
        monkeypatch.setattr(Path, name, forbidden)
    monkeypatch.setattr(builtins, "open", forbidden)
    monkeypatch.setattr(obtain, "Trainer", forbidden)
    assert np.isfinite(Density(graph, NUMPY, weights).energy_of_values({"x": np.array([0.3])})).all()
    with pytest.raises(InternalError, match="needs its weights"):
        Density(graph, NUMPY)
