"""Ways of learning: what is normalised sums to 1, known truths come back, draws follow their own density."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

from compose_lang.compiler.parts import LEARNERS, Net, Part, Port
from compose_lang.compiler.types import BOOL, REAL, UNIT, Domain, Type
from compose_lang.runtime import learners, noise
from compose_lang.runtime.backend import load_backend
from compose_lang.runtime.backends.numpy import NumpyBackend
from compose_lang.runtime.learn import splines
from compose_lang.runtime.learn.trainer import Trainer
from compose_lang.runtime.learners import autoregressive, categorical, ebm, flow, load_learner

NUMPY = load_backend("numpy")
JAX32 = load_backend("jax", "float32")
SOUND, BROKEN = 1e-3, 1e-6
"""p-values: no sound check of this file is below the one, every planted mistake is below the other."""

Weights = dict[str, np.ndarray]
SPIN = Domain("spin")
THREE = Domain("category", size=3)


def part(
    method: str, subjects: Sequence[Port], inputs: Sequence[Port], data: dict[str, np.ndarray], **options: Any
) -> Part:
    net = Net("mlp", (32, 32)) if LEARNERS[method].net else None
    options = {**LEARNERS[method].options, **options}
    return Part("P", method, tuple(subjects), tuple(inputs), net, options, data, None)  # type: ignore[arg-type]


def energies(
    p: Part,
    w: Weights,
    subjects: Sequence[np.ndarray],
    inputs: Sequence[np.ndarray | None] = (),
    at: str = "numpy",
) -> np.ndarray:
    b = load_backend(at)
    n = len(subjects[0])
    with b.scope():
        weights = {name: b.asarray(a) for name, a in w.items()}
        given = [None if c is None else b.asarray(c) for c in inputs]
        found = load_learner(p.method).energy(
            p, b, weights, b.asarray(np.zeros(n)), [b.asarray(x) for x in subjects], given
        )
        return np.asarray(b.to_numpy(found))


def shaken(p: Part, seed: int = 1, size: float = 0.4) -> Weights:
    """Weights far from where training begins, so that nothing is normalised by being simple."""
    rng = np.random.default_rng(seed)
    begun = load_learner(p.method).begin(p)
    return {n: a + size * rng.standard_normal(a.shape) * n.startswith("net.") for n, a in begun.items()}


def all_values(ports: Sequence[Port]) -> list[np.ndarray]:
    """Every joint value of finite ports, a row each."""
    sizes = [int(np.prod(p.type.full_shape)) for p in ports]
    each = [p.type.domain.values for p, size in zip(ports, sizes, strict=True) for _ in range(size)]
    flat = np.array(list(product(*each)))
    columns = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
    return [c.reshape((len(flat), *p.type.full_shape)) for c, p in zip(columns, ports, strict=True)]


# what the compiler knows of them


def test_every_learner_is_known_to_the_compiler() -> None:
    files = {f.stem for f in Path(learners.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == set(LEARNERS)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_exports_what_it_is(name: str) -> None:
    learner, known = load_learner(name), LEARNERS[name]
    assert learner.name == name
    assert (learner.wanted is None) == (known.net is None) == (not known.nets)
    assert (learner.loss is None) == ("steps" not in known.options)


# normalisation

FINITE = (Port("s", Type(SPIN)), Port("k", Type(Domain("int", 2, 4), (2,))), Port("t", Type(BOOL)))
GIVEN = (Port("c", Type(THREE), True), Port("e", Type(BOOL)))
MIXED = (Port("c", Type(THREE), True), Port("r", Type(REAL, (2,))))


def finite_rows(n: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    c = rng.integers(0, 3, n)
    k = np.stack([2 + c, rng.integers(2, 5, n)], axis=1)
    return {
        "s": 2 * rng.integers(0, 2, n) - 1, "k": k, "t": rng.random(n) < 0.3, "c": c,
        "e": rng.integers(0, 2, n), "r": rng.standard_normal((n, 2)),
    }  # fmt: skip


def of_ports(rows: dict[str, np.ndarray], *ports: Port) -> dict[str, np.ndarray]:
    return {p.name: rows[p.name] for p in ports}


@cache
def finite_part(method: str, steps: int = 60) -> tuple[Part, tuple[tuple[np.ndarray | None, ...], ...]]:
    """A part over finite subjects, and ways to give its inputs."""
    rows = finite_rows()
    if method == "categorical":
        return part(method, FINITE, GIVEN, of_ports(rows, *FINITE, *GIVEN)), (
            (np.array([2]), np.array([1])), (None, np.array([0])), (np.array([0]), np.array([0])),
        )  # fmt: skip
    found = part(method, FINITE, MIXED, of_ports(rows, *FINITE, *MIXED), steps=steps)
    return found, ((np.array([2]), np.array([[0.3, -1.0]])), (None, np.array([[2.0, 0.1]])))


def totals(p: Part, w: Weights, ways: Sequence[Sequence[np.ndarray | None]]) -> list[float]:
    values = all_values(p.subjects)
    n = len(values[0])
    given = [[None if c is None else np.repeat(c, n, axis=0) for c in way] for way in ways]
    return [float(np.exp(-energies(p, w, values, way)).sum()) for way in given]


@pytest.mark.parametrize("method", ["categorical", "autoregressive"])
def test_finite_densities_sum_to_one(method: str) -> None:
    p, ways = finite_part(method)
    for w in (shaken(p), Trainer(p).run()[0]):
        np.testing.assert_allclose(totals(p, w, ways), 1.0, atol=1e-12)


def test_an_element_that_sees_itself_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    p, ways = finite_part("autoregressive")
    right = autoregressive.masks
    monkeypatch.setattr(autoregressive, "masks", lambda p: {**right(p), "skip.w": np.ones((18, 18))[:1]})
    assert np.abs(np.array(totals(p, shaken(p), ways)) - 1.0).max() > 0.01


def test_an_element_depends_on_those_before_it_only() -> None:
    p, _ = finite_part("autoregressive")
    d, k = autoregressive.shape_of_logits(p)
    w = {n: NUMPY.asarray(a) for n, a in shaken(p).items()}
    c = np.zeros((2, 6))
    for i in range(d):
        x = np.zeros((2, d), dtype=int)
        x[1, i] = 1
        shares = autoregressive.log_shares(p, NUMPY, w, x, c)
        changed = np.abs(shares[0] - shares[1]).max(axis=1) > 1e-9
        assert changed.tolist() == [j > i for j in range(d)]
    assert k == 3


FLAT = (Port("x", Type(REAL)),)
PLANE = (Port("x", Type(REAL, (2,))),)


def bent_rows(n: int, seed: int = 0) -> np.ndarray:
    """A banana: x₁ ~ N(0, 1), x₂ ~ N(x₁² - 1, .4²), times (2, 1) and moved."""
    u, v = np.random.default_rng(seed).standard_normal((2, n))
    return np.stack([2.0 * u + 3.0, u**2 - 1.0 + 0.4 * v], axis=1)


def bent_log_density(x: np.ndarray) -> np.ndarray:
    u = (x[:, 0] - 3.0) / 2.0
    logs = scipy.stats.norm.logpdf(u) - np.log(2.0) + scipy.stats.norm.logpdf(x[:, 1], u**2 - 1.0, 0.4)
    return np.asarray(logs)


@cache
def line() -> tuple[Part, Weights]:
    """In one dimension: two modes whose distance is an input that may be left out."""
    rng = np.random.default_rng(0)
    far = rng.integers(0, 2, 4000)
    x = (1.0 + 2.0 * far) * (2 * rng.integers(0, 2, 4000) - 1) + 0.5 * rng.standard_normal(4000)
    inputs = (Port("far", Type(BOOL), True),)
    p = part("flow", FLAT, inputs, {"x": x, "far": far}, steps=400, layers=2, rate=5e-3, drop=0.3)
    return p, Trainer(p).run()[0]


@cache
def banana() -> tuple[Part, Weights]:
    p = part("flow", PLANE, (), {"x": bent_rows(8000)}, steps=700, layers=4, rate=3e-3)
    return p, Trainer(p).run()[0]


def grid(lower: Sequence[float], upper: Sequence[float], counts: Sequence[int]) -> tuple[np.ndarray, float]:
    """Midpoints (n, d) of the cells of a box, and a cell's volume."""
    sides = [
        lo + (np.arange(n) + 0.5) * (up - lo) / n for lo, up, n in zip(lower, upper, counts, strict=True)
    ]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(lower))
    return points, float(np.prod((np.array(upper) - lower) / counts))


def line_total(w: Weights, far: int | None) -> float:
    p, _ = line()
    points, cell = grid([-40.0], [40.0], [80_000])
    given = None if far is None else np.full(len(points), far)
    return float(np.exp(-energies(p, w, [points[:, 0]], [given])).sum() * cell)


@pytest.mark.parametrize("far", [0, 1, None])
def test_a_flow_in_one_dimension_integrates_to_one(far: int | None) -> None:
    p, w = line()
    assert line_total(shaken(p), far) == pytest.approx(1.0, abs=1e-4)
    assert line_total(w, far) == pytest.approx(1.0, abs=1e-4)


BOX = ([-12.0, -8.0], [18.0, 22.0], [300, 300])


def test_a_flow_in_two_dimensions_integrates_to_one() -> None:
    p, w = banana()
    points, cell = grid(*BOX)
    assert np.exp(-energies(p, w, [points])).sum() * cell == pytest.approx(1.0, abs=2e-3)
    wide, volume = grid([-40.0, -40.0], [46.0, 46.0], [400, 400])
    total = np.exp(-energies(p, shaken(p, size=0.05), [wide])).sum() * volume
    assert total == pytest.approx(1.0, abs=5e-3)


def test_a_flow_with_a_wrong_slope_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    right = splines.slope_at
    monkeypatch.setattr(splines, "slope_at", lambda b, p, share: 0.9 * right(b, p, share))
    assert abs(line_total(line()[1], 1) - 1.0) > 0.01


# backends


@pytest.mark.parametrize("method", ["categorical", "autoregressive", "flow", "ebm"])
def test_backends_agree(method: str) -> None:
    rng = np.random.default_rng(2)
    if method in ("categorical", "autoregressive"):
        p, ways = finite_part(method)
        subjects = all_values(p.subjects)
    else:
        p = part(method, (Port("x", Type(REAL, (2,))), Port("y", Type(REAL))), MIXED, {
            "x": bent_rows(100), "y": rng.standard_normal(100), **of_ports(finite_rows(100), *MIXED),
        })  # fmt: skip
        subjects = [bent_rows(500, seed=5), 3.0 * rng.standard_normal(500)]
        ways = finite_part("autoregressive")[1]
    w, n = shaken(p), len(subjects[0])
    for way in ways:
        given = [None if c is None else np.repeat(c, n, axis=0) for c in way]
        want = energies(p, w, subjects, given)
        assert want.shape == (n,)
        for at in ("jax", "torch"):
            np.testing.assert_allclose(energies(p, w, subjects, given, at), want, rtol=1e-8, atol=1e-8)


# tables


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 3.0])
def test_a_table_is_the_smoothed_counts(smoothing: float) -> None:
    p, _ = finite_part("categorical")
    p = part("categorical", p.subjects, p.inputs, dict(p.data), smoothing=smoothing)
    w, state = Trainer(p).run()
    assert state.step == 0
    values, n = all_values(p.subjects), len(all_values(p.subjects)[0])
    for c, e in product((None, 0, 1, 2), (0, 1)):
        shown = (p.data["e"] == e) & (True if c is None else p.data["c"] == c)
        rows = [p.data[port.name][shown].reshape(shown.sum(), -1) for port in p.subjects]
        seen = np.concatenate(rows, axis=1)
        joint = np.concatenate([v.reshape(n, -1) for v in values], axis=1)
        counts = (seen[:, None] == joint).all(axis=2).sum(axis=0)
        want = (counts + smoothing) / (shown.sum() + smoothing * n)
        given = [None if c is None else np.full(n, c), np.full(n, e)]
        np.testing.assert_allclose(np.exp(-energies(p, w, values, given)), want, atol=1e-12)


def test_without_smoothing_an_unseen_context_is_uniform() -> None:
    x, c = Port("x", Type(BOOL)), Port("c", Type(BOOL))
    p = part("categorical", (x,), (c,), {"x": np.array([0, 0]), "c": np.array([1, 1])}, smoothing=0.0)
    w, _ = Trainer(p).run()
    found = np.exp(-energies(p, w, [np.array([0, 1, 0, 1])], [np.array([0, 0, 1, 1])]))
    np.testing.assert_array_equal(found, [0.5, 0.5, 1.0, 0.0])


@pytest.mark.parametrize("shape, domain", [((20,), BOOL), ((10**6,), BOOL), ((), Domain("int", 0, 10**30))])
def test_a_table_too_large_to_hold_is_an_error(shape: tuple[int, ...], domain: Domain) -> None:
    p = part("categorical", (Port("x", Type(domain, shape)),), (), {"x": np.zeros((2, *shape), dtype=int)})
    with pytest.raises(ValueError, match="more than 1,000,000 entries"):
        Trainer(p)


def test_a_table_of_just_what_it_may_hold() -> None:
    side = Port("x", Type(Domain("int", 1, 1000), (2,)))
    p = part("categorical", (side,), (), {"x": np.array([[1000, 1000], [1, 2]])})
    assert categorical.begin(p)["table"].shape == (1, 10**6)


def test_a_table_of_reals_is_an_error() -> None:
    rows = finite_rows(10)
    p = part("categorical", FINITE, MIXED, of_ports(rows, *FINITE, *MIXED))
    with pytest.raises(ValueError, match="`r` is real"):
        Trainer(p)


@pytest.mark.parametrize("port", [Port("x", Type(BOOL, (64, 64))), Port("x", Type(Domain("int", 0, 10**30)))])
def test_too_many_elements_for_a_perceptron_are_an_error(port: Port) -> None:
    p = part("autoregressive", (port,), (), {"x": np.zeros((2, *port.type.full_shape), dtype=int)})
    with pytest.raises(ValueError, match="more than 4,096 numbers"):
        Trainer(p)


# a Markov chain of 5 elements of 4 values, whose steps depend on an input

CHAIN = (Port("x", Type(Domain("category", size=4), (5,))),)


@cache
def chain_truth() -> np.ndarray:
    """Probabilities (3, 1024) of all sequences for each input."""
    rng = np.random.default_rng(3)
    first, steps = rng.dirichlet(np.ones(4), 3), rng.dirichlet(0.7 * np.ones(4), (3, 4))
    (x,) = all_values(CHAIN)
    found = first[:, x[:, 0]]
    for i in range(4):
        found = found * steps[:, x[:, i], x[:, i + 1]]
    return np.asarray(found)


@cache
def chain() -> tuple[Part, Weights]:
    rng = np.random.default_rng(4)
    (x,) = all_values(CHAIN)
    c = np.repeat([0, 1, 2], [5000, 10_000, 5000])
    rows = np.concatenate([x[rng.choice(1024, (c == k).sum(), p=chain_truth()[k])] for k in range(3)])
    p = part("autoregressive", CHAIN, (Port("c", Type(THREE), True),), {"x": rows, "c": c}, steps=1500)
    return p, Trainer(p).run()[0]


def chain_divergence(w: Weights, truth: np.ndarray, c: int | None) -> float:
    """KL from the truth in nats."""
    p, _ = chain()
    found = -energies(p, w, all_values(CHAIN), [None if c is None else np.full(1024, c)])
    return float(np.sum(truth * (np.log(truth) - found)))


def test_a_markov_chain_is_learned() -> None:
    p, w = chain()
    truth = chain_truth()
    for c, want in ((0, truth[0]), (1, truth[1]), (2, truth[2]), (None, np.array([0.25, 0.5, 0.25]) @ truth)):
        assert chain_divergence(w, want, c) < CHAIN_BOUND
        assert chain_divergence(shaken(p, size=0.0), want, c) > 20 * CHAIN_BOUND
    assert chain_divergence(w, truth[0], 2) > 20 * CHAIN_BOUND
    assert chain_divergence(w, truth[0], None) > 5 * CHAIN_BOUND


CHAIN_BOUND = 0.03


def banana_divergence(w: Weights) -> float:
    """KL from the truth in nats, by quadrature."""
    p, _ = banana()
    points, cell = grid(*BOX)
    truth = bent_log_density(points)
    kept = truth > -40.0
    logs = -energies(p, w, [points[kept]])
    return float(np.sum(np.exp(truth[kept]) * (truth[kept] - logs)) * cell)


def test_a_banana_is_learned() -> None:
    p, w = banana()
    assert -1e-3 < banana_divergence(w) < BANANA_BOUND
    assert banana_divergence(shaken(p, size=0.0)) > 10 * BANANA_BOUND


BANANA_BOUND = 0.03


def test_two_modes_on_a_line_are_learned() -> None:
    p, w = line()
    points, cell = grid([-12.0], [12.0], [4000])
    x = points[:, 0]

    def truth(apart: float) -> np.ndarray:
        return 0.5 * (scipy.stats.norm.pdf(x, apart, 0.5) + scipy.stats.norm.pdf(x, -apart, 0.5))

    for far, want in ((0, truth(1.0)), (1, truth(3.0)), (None, 0.5 * (truth(1.0) + truth(3.0)))):
        given = None if far is None else np.full(len(x), far)
        found = np.exp(-energies(p, w, [x], [given]))
        assert 0.5 * np.abs(found - want).sum() * cell < LINE_BOUND


LINE_BOUND = 0.1


# draws


def p_value(counts: np.ndarray, shares: np.ndarray) -> float:
    """Pearson's chi-square of counts against shares, cells of fewer than 5 expected taken together."""
    expected = shares * counts.sum()
    few = expected < 5.0
    seen = np.append(counts[~few], counts[few].sum())
    want = np.append(expected[~few], expected[few].sum())
    seen, want = (seen[:-1], want[:-1]) if want[-1] < 1e-9 else (seen, want)
    return float(scipy.stats.chisquare(seen, want * seen.sum() / want.sum()).pvalue)


def chain_draws(b: Any, c: int | None, n: int = 30_000) -> float:
    p, w = chain()
    uniforms = np.random.default_rng(7).random((n, 5))
    given = None if c is None else np.full(n, c)
    found = autoregressive.draw(p, b, {k: b.asarray(a) for k, a in w.items()}, [given], uniforms)
    counts = np.bincount(found @ 4 ** np.arange(5)[::-1], minlength=1024)
    given = None if c is None else np.full(1024, c)
    return p_value(counts, np.exp(-energies(p, w, all_values(CHAIN), [given])))


@pytest.mark.parametrize("c", [1, None])
def test_autoregressive_draws_follow_their_density(c: int | None) -> None:
    assert chain_draws(NUMPY, c) > SOUND


class OneShort(NumpyBackend):
    """A loop that ends one pass too early: the last element is drawn given what was there before."""

    def loop(self, start: Any, stop: Any, body: Any, state: Any) -> Any:
        return super().loop(start, stop - 1, body, state)


def test_autoregressive_draws_one_pass_short() -> None:
    assert chain_draws(OneShort(), 1) < BROKEN


def test_autoregressive_draws_are_values_of_their_types() -> None:
    p, _ = finite_part("autoregressive")
    uniforms = np.random.default_rng(1).random((2000, 4))
    given = [np.zeros(2000, dtype=int), np.zeros((2000, 2))]
    found = autoregressive.draw(p, NUMPY, shaken(p), given, uniforms)
    for column, values in zip(found.T, autoregressive.ranges(p), strict=True):
        assert set(column) == set(values)


def banana_draws(n: int = 30_000) -> float:
    """The p-value of draws in square cells against the integral of their density over each."""
    p, w = banana()
    normals = np.random.default_rng(8).standard_normal((n, 2))
    found = flow.draw(p, NUMPY, {k: NUMPY.asarray(a) for k, a in w.items()}, [], normals)
    points, cell = grid(*BOX)
    fine = (np.exp(-energies(p, w, [points])) * cell).reshape(60, 5, 60, 5)
    edges = [np.linspace(lo, up, 61) for lo, up in zip(*BOX[:2], strict=True)]
    counts, *_ = np.histogram2d(found[:, 0], found[:, 1], bins=edges)
    return p_value(counts.reshape(-1), fine.sum(axis=(1, 3)).reshape(-1))


def test_flow_draws_follow_their_density() -> None:
    assert banana_draws() > SOUND


def test_flow_draws_without_their_splines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splines, "back", lambda b, free, y: y)
    assert banana_draws() < BROKEN


def test_flow_draws_go_through_the_inverse_of_the_map() -> None:
    """Far outside the splines' box too: the density at a draw is the normal's over the map's slope."""
    p, w = line()
    b = NUMPY
    weights = {k: b.asarray(a) for k, a in w.items()}
    z = np.linspace(-9.0, 9.0, 40_001)
    given = np.ones(len(z), dtype=int)
    x = flow.draw(p, b, weights, [given], z[:, None])[:, 0]
    assert (np.diff(x) > 0).all()
    between = (np.log(np.diff(z)) - np.log(np.diff(x)) - 0.125 * (z[1:] + z[:-1]) ** 2)[:, None]
    logs = -energies(p, w, [x], [given]) + 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(0.5 * (logs[1:] + logs[:-1]), between[:, 0], atol=0.03)


# energies without a total


def langevin_p_value(corrected: bool = True) -> float:
    """Whether visits to chains leave the density invariant, on an interval with a step that is too long for it."""
    port = Port("x", Type(UNIT))
    rows = {"x": np.random.default_rng(0).beta(2.0, 2.0, 100)}
    n = 4000
    p = part("ebm", (port,), (), rows, buffer=n, langevin=10, step=0.6)
    w = shaken(p, seed=3, size=0.3)
    b = JAX32
    with b.scope():
        weights = {k: b.asarray(a) for k, a in w.items()}
        state = jax.tree.map(b.asarray, ebm.state(p, n))
        keys = b.asarray(noise.chain_keys(0, np.arange(n), 0, NUMPY), b.word)

        @jax.jit
        def visit(state: Any, t: Any) -> Any:
            drawn = noise.draw(ebm.noise(p), keys, t, b)
            if not corrected:
                drawn["accept"] = 0.0 * drawn["accept"]
            return ebm.advance(p, b, weights, {}, state, drawn)

        for t in range(30):
            extra, state = visit(state, t)
        z = np.asarray(extra["model.z"])[:, 0]
    x = z * w["scale"][0] + w["shift"][0]
    assert (x > -1e-6).all() and (x < 1 + 1e-6).all()
    points, _ = grid([0.0], [1.0], [4000])
    shares = np.exp(-energies(p, w, [points[:, 0]])).reshape(20, 200).sum(axis=1)
    return p_value(np.histogram(x, 20, (0.0, 1.0))[0], shares / shares.sum())


def test_chains_of_the_model_follow_its_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebm, "REBORN", 0.0)
    assert langevin_p_value() > SOUND
    assert langevin_p_value(corrected=False) < BROKEN


def ring_distance(steps: int, **options: Any) -> float:
    """Total variation, in cells of .05, of a learned energy to 8 normals (sd .06) on a ring of radius .5."""
    rng = np.random.default_rng(0)
    angles = np.arange(8) * np.pi / 4
    centres = 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rows = centres[rng.integers(0, 8, 10_000)] + 0.06 * rng.standard_normal((10_000, 2))
    p = part("ebm", PLANE, (), {"x": rows}, steps=steps, **options)
    w, _ = Trainer(p).run()
    points, _ = grid([-1.0, -1.0], [1.0, 1.0], [160, 160])
    found = np.exp(-energies(p, w, [points]))
    truth = np.exp(-0.5 * ((points[:, None] - centres) ** 2).sum(2) / 0.06**2).sum(1)
    cells = [a.reshape(40, 4, 40, 4).sum(axis=(1, 3)) / a.sum() for a in (found, truth)]
    return float(0.5 * np.abs(cells[0] - cells[1]).sum())


def test_a_ring_is_learned_roughly_in_a_few_steps() -> None:
    assert ring_distance(800, langevin=20) < RING_BOUND


def test_a_ring_is_not_learned_from_chains_that_do_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebm, "REBORN", 1.0)
    assert ring_distance(800, langevin=1, step=1e-4) > 1.2 * RING_BOUND


RING_BOUND = 0.4


@pytest.mark.slow
def test_a_ring_is_learned() -> None:
    assert ring_distance(3000) < 0.25


def test_an_input_shifts_an_energy_within_bounds() -> None:
    rng = np.random.default_rng(0)
    k = (rng.random(6000) < 0.3).astype(int)
    x = np.where(k == 0, rng.beta(2, 5, 6000), rng.beta(6, 2, 6000))
    p = part(
        "ebm",
        (Port("x", Type(UNIT)),),
        (Port("k", Type(BOOL), True),),
        {"x": x, "k": k},
        steps=600,
        langevin=10,
    )
    w, _ = Trainer(p).run()
    points, cell = grid([0.0], [1.0], [400])
    low, high = scipy.stats.beta(2, 5).pdf(points[:, 0]), scipy.stats.beta(6, 2).pdf(points[:, 0])
    for given, truth in ((0, low), (1, high), (None, 0.7 * low + 0.3 * high)):
        found = np.exp(-energies(p, w, [points[:, 0]], [None if given is None else np.full(400, given)]))
        assert 0.5 * np.abs(found / found.sum() - truth * cell).sum() < 0.2
    assert 0.5 * np.abs(low - high).sum() * cell > 0.6
