"""What a sampler is told about one site against the whole program: energy differences, classes that share nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compose_lang.compiler.analyses import conditionals
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.views.conditional import OrderingView, Sites
from tests.compiler.discrete_programs import DISCRETE, ORDERINGS
from tests.compiler.points import density_of, graph_of, random_values, views_on
from tests.once import once

POINTS = 12


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")


def differences(energies: np.ndarray) -> np.ndarray:
    """Energies (…, K) relative to the first that is finite; infinite ones stay so."""
    first = np.argmax(np.isfinite(energies), axis=-1)
    return energies - np.take_along_axis(energies, first[..., None], axis=-1)


def check_sites(density: Density, block: Sites) -> int:
    """Every site's energies of all values differ as the program's; returns how many differences were compared."""
    xp, backend = density.backend.xp, density.backend
    rng = np.random.default_rng(5)
    values = random_values(density.graph, rng, POINTS)
    position = density.position_of(values)
    numbers = np.array(block.values)
    compared = 0
    for cls in range(block.classes):
        sites = backend.to_numpy(block.sites_of(cls))
        candidates = backend.asarray(np.broadcast_to(numbers, (POINTS, block.width, len(numbers))).copy())
        found = backend.to_numpy(xp.broadcast_to(block.energies(position, cls, candidates), candidates.shape))
        for place, site in enumerate(sites):
            if site == block.sites:
                continue
            whole = []
            for value in numbers:
                held = np.array(backend.to_numpy(position[block.name]))
                held[:, site] = value
                moved = {**position, block.name: backend.asarray(held)}
                whole.append(np.broadcast_to(backend.to_numpy(density.energy(moved)), (POINTS,)))
            expected = np.stack(whole, axis=-1)
            possible = np.isfinite(expected).any(axis=-1)
            # where another part of the program is infinite whatever the site, the whole tells nothing
            with np.errstate(invalid="ignore"):
                got, want = differences(found[:, place])[possible], differences(expected)[possible]
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
            compared += want.size
    return compared


def blocks_of(density: Density) -> list[Sites]:
    views = views_on(density.graph, density.backend)
    blocks = [views.block(b.variables, b.kernel) for b in views.blocks]
    return [b for b in blocks if isinstance(b, Sites)]


@pytest.mark.parametrize("name", DISCRETE)
def test_differences_are_those_of_the_program(name: str) -> None:
    graph = graph_of(DISCRETE[name])
    for backend in ("numpy", "torch"):
        density = density_of(graph, backend)
        with density.backend.scope():
            assert blocks_of(density)
            for block in blocks_of(density):
                assert check_sites(density, block) > 0


@pytest.mark.parametrize("name", ["partly observed", "dynamic indices", "a recurrence"])
def test_jax_gives_the_same_energies(name: str) -> None:
    graph = graph_of(DISCRETE[name])
    values = random_values(graph, np.random.default_rng(5), POINTS)
    found = []
    for backend in ("numpy", "jax"):
        density = density_of(graph, backend)
        with density.backend.scope():
            held = {n: np.asarray(x) for n, x in density_of(graph).position_of(values).items()}
            position = {n: density.backend.asarray(x) for n, x in held.items()}
            block = blocks_of(density)[0]
            shape = (POINTS, block.width, len(block.values))
            candidates = density.backend.asarray(np.broadcast_to(np.array(block.values), shape).copy())
            evaluate = density.backend.compile(lambda at, c, block=block: block.energies(at, 0, c))
            found.append(np.asarray(density.backend.to_numpy(evaluate(position, candidates))))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12, atol=1e-12)


def interacting(density: Density, block: Sites) -> np.ndarray:
    """Pairs of sites (n, n) that some factor couples, by brute force: a second difference that is not zero."""
    rng = np.random.default_rng(1)
    n = block.sites
    coupled = np.zeros((n, n), dtype=bool)
    values = random_values(density.graph, rng, 24)
    base = density.position_of(values)
    new = rng.choice(np.array(block.values), (24, n))

    def energy(*moved: int) -> np.ndarray:
        held = base[block.name].copy()
        for site in moved:
            held[:, site] = new[:, site]
        with np.errstate(invalid="ignore"):
            found = density.energy({**base, block.name: held})
        # a constraint's infinity stands for a great energy, so that differences can be taken
        return np.where(np.isfinite(found), found, 1e3)

    alone, single = energy(), [energy(i) for i in range(n)]
    for i in range(n):
        for j in range(i):
            second = energy(i, j) - single[i] - single[j] + alone
            coupled[i, j] = coupled[j, i] = bool((abs(second) > 1e-9).any())
    return coupled


def shares_a_factor(density: Density, block: Sites) -> bool:
    """Whether two sites of one class interact."""
    coupled = interacting(density, block)
    for cls in range(block.classes):
        sites = [s for s in np.asarray(block.sites_of(cls)) if s < block.sites]
        if coupled[np.ix_(sites, sites)].any():
            return True
    return False


# a sum of infinities hides which constraint is broken, so pairs are looked for where energies are finite
@pytest.mark.parametrize("name", [n for n in DISCRETE if n not in ("constraints", "integers and a sum")])
def test_no_two_sites_of_a_class_interact(name: str) -> None:
    density = density_of(graph_of(DISCRETE[name]))
    for block in blocks_of(density):
        assert not shares_a_factor(density, block)


@pytest.mark.parametrize("name", ["lattice", "categories", "partly observed", "a site read twice"])
def test_classes_wrongly_merged_are_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted mutant: two classes of one variable become one."""
    monkeypatch.setattr(conditionals, "colour", lambda sites, scopes: np.zeros(sites, dtype=np.int64))
    density = density_of(graph_of(DISCRETE[name]))
    (block,) = blocks_of(density)
    assert block.classes == 1 and shares_a_factor(density, block)


def test_a_dropped_group_is_seen() -> None:
    """Planted mutant: one factor is left out of the local energies."""
    density = density_of(graph_of(DISCRETE["categories"]))
    (block,) = blocks_of(density)
    tables = {**block.tables, "groups": block.tables["groups"][1:]}
    without = replace(block, local=replace(block.local, groups=block.local.groups[1:]), tables=tables)
    with pytest.raises(AssertionError):
        check_sites(density, without)


# --- orderings --------------------------------------------------------------------------------------------


def arrangements_of(density: Density) -> list[OrderingView]:
    views = views_on(density.graph, density.backend)
    blocks = [views.block(b.variables, b.kernel) for b in views.blocks]
    return [b for b in blocks if isinstance(b, OrderingView)]


def check_orderings(density: Density, block: OrderingView) -> None:
    """What an exchange, and any other ordering, changes is what it changes in the whole program."""
    backend = density.backend
    rng = np.random.default_rng(5)
    position = density.position_of(random_values(density.graph, rng, POINTS))
    held = np.array(backend.to_numpy(position[block.name]))
    energy = once(backend, density.energy)
    for cls in range(block.classes):
        current = np.array(backend.to_numpy(block.current(position, cls)))
        places = rng.integers(0, block.length, (POINTS, block.width, 2))
        places[:3, :, 1] = places[:3, :, 0]
        exchanged = current.copy()
        there = np.take_along_axis(current, places, axis=-1)
        np.put_along_axis(exchanged, places, there[..., ::-1], axis=-1)
        weigh = once(backend, lambda at, candidates, only, cls=cls: block.weigh(at, cls)(candidates, only))
        for proposed, only in (
            (exchanged, places),
            (exchanged, None),
            (rng.permuted(current, axis=-1), None),
        ):
            candidates = backend.asarray(np.stack([current, proposed], axis=2))
            at = None if only is None else backend.asarray(only)
            found = backend.to_numpy(weigh(position, candidates, at))
            for place, site in enumerate(backend.to_numpy(block.sites_of(cls))):
                if site == block.sites:
                    continue
                moved = held.copy()
                moved[:, site] = proposed[:, place]
                whole = [
                    np.broadcast_to(
                        backend.to_numpy(energy({**position, block.name: backend.asarray(x)})),
                        (POINTS,),
                    )
                    for x in (held, moved)
                ]
                possible = np.isfinite(whole[0])
                assert possible.any()
                with np.errstate(invalid="ignore"):
                    got, want = found[:, place, 1] - found[:, place, 0], whole[1] - whole[0]
                np.testing.assert_allclose(got[possible], want[possible], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, b) for name in ORDERINGS for b in ("numpy", "torch")), ("a tour", "jax")],
)
def test_orderings_are_weighed_as_the_program_is(name: str, backend: str) -> None:
    density = density_of(graph_of(ORDERINGS[name]), backend)
    with density.backend.scope():
        blocks = arrangements_of(density)
        assert blocks
        for block in blocks:
            check_orderings(density, block)


def test_an_exchange_asks_only_the_factors_around_two_places() -> None:
    (block,) = arrangements_of(density_of(graph_of(
        "var p: permutation(50)\nfor (i, j) in chain(50) { energy abs(p[i] - p[j]) }\nenergy sum(p * p) * 0.1"
    )))  # fmt: skip
    chain, whole = block.local.groups
    assert chain.instances.shape == (1, 1, 49) and chain.pair is not None and chain.pair.touch.size == 4
    assert whole.pair is None and whole.around.touch.size == 1


def test_a_factor_counted_twice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted mutant: a factor that reads both places is weighed for each."""
    monkeypatch.setattr(np, "any", lambda x, axis=None: np.zeros(x.shape[:-1], dtype=bool))
    density = density_of(graph_of(ORDERINGS["a long tour"]))
    (block,) = arrangements_of(density)
    with pytest.raises(AssertionError):
        check_orderings(density, block)


def test_orderings_that_share_no_factor_move_together() -> None:
    apart, together = (
        arrangements_of(density_of(graph_of(ORDERINGS[name])))[0] for name in ("independent ones", "several")
    )
    assert (apart.classes, apart.width) == (1, 4)
    assert (together.classes, together.width) == (2, 2)
