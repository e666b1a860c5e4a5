"""The standard library's densities: energy, gradient, normalisation and draws each against a reference."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from scipy import stats

import compose_lang as cg
from compose_lang.compiler.elaborate import rules  # noqa: F401 - registers them
from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.elaborate.factors.draws import draw
from compose_lang.compiler.elaborate.standard_library import builtin_scope
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.operation import Host
from compose_lang.diagnostics import Source
from compose_lang.grammar.parser import parse_expression
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density

STDLIB = Path(cg.__file__).parent / "stdlib"
SOURCES = [(STDLIB / name).read_text(encoding="utf-8") for name in ("distributions.cg", "discrete.cg")]
EXAMPLES = [
    found
    for text in SOURCES
    for found in re.findall(r"^# example: (\w+)\((.*) \| (.*)\) -> (.*)$", text, re.M)
]
BY_NAME = {case.name: case for case in CASES}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def declared(text: str) -> list[str]:
    return re.findall(r"^density (\w+)", text, re.M)


def program(case: Case) -> str:
    """The density with its inputs as data."""
    names = [f"input_{name}" for name in case.inputs]
    data = [f"data {name}: {type}" for name, type in zip(names, case.inputs.values(), strict=True)]
    return "\n".join([*data, f"var x: {case.subject} ~ {case.name}({', '.join(names)})"])


def bound(case: Case, setting: tuple[Any, ...]) -> dict[str, Any]:
    return {f"input_{name}": value for name, value in zip(case.inputs, setting, strict=True)}


def test_every_density_has_a_case_and_an_example():
    assert sorted(declared("".join(SOURCES))) == sorted(BY_NAME) == sorted(name for name, *_ in EXAMPLES)


@every_case
def test_energy_is_the_reference(case: Case):
    for setting in case.settings:
        model = cg.compile(program(case), data=bound(case, setting))
        for x in case.xs:
            with np.errstate(all="ignore"):
                expected = -float(case.reference(x, *setting))
            assert model.energy({"x": x}) == pytest.approx(expected, rel=1e-10, abs=1e-10), (x, setting)


@pytest.mark.parametrize(("name", "subject", "inputs", "energy"), EXAMPLES, ids=lambda text: text[:24])
def test_the_example_in_the_comment_is_right(name: str, subject: str, inputs: str, energy: str):
    text = f"var u: unit\ndata x: {BY_NAME[name].subject} = {subject}\nx ~ {name}({inputs})"
    assert cg.compile(text).energy({"u": 0.5}) == pytest.approx(float(energy), rel=1e-11)


def stencil(function: Any, point: np.ndarray) -> np.ndarray:
    """The gradient by central differences of fourth order."""
    steps = 1e-3 * np.eye(len(point))
    near = [function(point + h) - function(point - h) for h in steps]
    far = [function(point + 2 * h) - function(point - 2 * h) for h in steps]
    return (8 * np.array(near) - np.array(far)) / 12e-3


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("case", [c for c in CASES if c.name != "DiscreteUniform"], ids=lambda c: c.name)
def test_gradient_is_that_of_the_reference(case: Case, backend: str):
    """At the example's point, with respect to all that is continuous and varies freely."""
    subject, inputs = next(example[1:3] for example in EXAMPLES if example[0] == case.name)
    values = dict(zip(["x", *case.inputs], ast.literal_eval(f"[{subject}, {inputs}]"), strict=True))
    values = {name: np.asarray(value, float) for name, value in values.items()}
    types = {"x": case.subject, **case.inputs}
    free = [
        name
        for name in values
        if re.match("real|positive|unit|angle", types[name]) and name not in ("cov", "L")
    ]
    text = [f"{'var' if name in free else 'data'} the_{name}: {types[name]}" for name in values]
    text.append(f"the_x ~ {case.name}({', '.join(f'the_{name}' for name in case.inputs)})")
    # a density may read one element only; the others are then improper
    text += [f"energy 1e-300 * sum(the_{name})" for name in free if values[name].ndim]
    model = cg.compile(
        "\n".join(text), data={f"the_{name}": values[name] for name in values if name not in free}
    )

    ends = np.cumsum([values[name].size for name in free])
    point = np.concatenate([values[name].reshape(-1) for name in free])

    def unpack(u: Any) -> dict[str, Any]:
        pieces = zip(free, [0, *ends], ends, strict=False)
        return {
            name: u[..., start:end].reshape((*u.shape[:-1], *values[name].shape))
            for name, start, end in pieces
        }

    def reference(u: np.ndarray) -> float:
        moved = {
            **{name: value if value.ndim else value.item() for name, value in values.items()},
            **unpack(u),
        }
        x = moved.pop("x")
        return -float(case.reference(int(x) if case.is_discrete else x, *moved.values()))

    library = load_backend(backend)
    with library.scope():
        density = Density(model.program.graph, library)
        energy = library.value_and_grad(
            lambda u: density.energy_of_values({f"the_{name}": value for name, value in unpack(u).items()})
        )
        found, gradient = (library.to_numpy(a)[0] for a in energy(library.asarray(point[None])))
    assert found == pytest.approx(reference(point), rel=1e-9)
    np.testing.assert_allclose(gradient, stencil(reference, point), rtol=1e-6, atol=1e-8)


def nodes(support: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Double-exponential quadrature (Takahasi and Mori 1974): points, and logs of their weights."""
    t = np.linspace(-4.2, 4.2, 2001)
    inner, slope = 0.5 * math.pi * np.sinh(t), 0.5 * math.pi * np.cosh(t)
    low, high = support
    if math.isinf(low):
        x, weight = np.sinh(inner), slope * np.cosh(inner)
    elif math.isinf(high):
        x, weight = low + np.exp(inner), slope * np.exp(inner)
    else:
        x, weight = (
            low + (high - low) / (1 + np.exp(-2 * inner)),
            0.5 * (high - low) * slope / np.cosh(inner) ** 2,
        )
    kept = (x > low) & (x < high) & (np.abs(x) < 1e100)
    return x[kept], np.log(weight[kept] * (t[1] - t[0]))


@pytest.mark.parametrize("case", [c for c in CASES if c.is_scalar], ids=lambda c: c.name)
def test_weights_sum_to_one(case: Case):
    """By quadrature or summation, within a program: an energy that is the log of the sum of weights."""
    setting = case.settings[0]
    if case.is_discrete:
        top = {"bool": 2, "category(3)": 3, "int(-5, 9)": 10}.get(case.subject, 400)
        x, log_weights = np.arange(top), np.zeros(top)
    else:
        x, log_weights = nodes(case.support)
    text = f"""
    var u: unit
    {chr(10).join(program(case).split(chr(10))[:-1])}
    data points: {case.subject}[_]
    data log_weights: real[_]
    energy logsumexp(log_weights[i] + log_weight({case.name}(points[i] | {", ".join(bound(case, setting))}))
                     for i in range(len(points)))
    """
    data = {**bound(case, setting), "points": x, "log_weights": log_weights}
    assert cg.compile(text, data=data).energy({"u": 0.5}) == pytest.approx(0, abs=1e-5)


# --- draws ---------------------------------------------------------------------------------------------

DRAWS = 5_000


def drawn(case: Case) -> np.ndarray:
    """Draws at the first setting, (DRAWS, *shape)."""
    inputs = ", ".join(str(np.asarray(value).tolist()) for value in case.settings[0])
    session = Session(None, {}, {}, noise_slots=[])
    context = Context(builtin_scope(), session, emit=lambda term: None)
    factor = context.evaluate(parse_expression(Source("<test>", f"{case.name}({inputs})")))
    made = draw(context, factor, np.shape(case.xs[0]))
    rng = np.random.default_rng(0)
    source = {"normal": rng.standard_normal, "uniform": rng.random}
    noise = {id(slot): source[kind]((DRAWS, *slot.shape)) for kind, slot in session.noise_slots}
    return np.asarray(interpret(Host(), [made], noise)[0], float)


def test_every_density_can_be_drawn():
    bodies = {
        name: text.split(f"density {name}(")[1].split("\n}")[0] for text in SOURCES for name in declared(text)
    }
    assert [name for name, body in bodies.items() if "\n  draw " not in body] == []


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.is_scalar and not c.is_discrete], ids=lambda c: c.name
)
def test_draws_of_numbers_follow_the_density(case: Case):
    """Kolmogorov and Smirnov's test, against the reference integrated by quadrature."""
    x, log_weights = nodes(case.support)
    with np.errstate(all="ignore"):
        masses = np.exp([float(case.reference(v, *case.settings[0])) for v in x] + log_weights)
    distribution = np.cumsum(masses) - 0.5 * masses
    assert stats.kstest(drawn(case), lambda v: np.interp(v, x, distribution)).pvalue > 1e-3


@pytest.mark.parametrize("case", [c for c in CASES if c.is_scalar and c.is_discrete], ids=lambda c: c.name)
def test_draws_of_counts_follow_the_density(case: Case):
    """Pearson's test, on the values expected ten times or more and the rest together."""
    draws = drawn(case)
    values = np.arange(2 if case.subject == "bool" else 3 if case.subject == "category(3)" else 200)
    with np.errstate(all="ignore"):
        expected = DRAWS * np.exp([float(case.reference(int(v), *case.settings[0])) for v in values])
    often = expected >= 10
    counts = np.array([(draws == v).sum() for v in values[often]])
    rest, expected_rest = DRAWS - counts.sum(), DRAWS - expected[often].sum()
    assert (draws == np.floor(draws)).all()
    if expected_rest < 10:
        assert rest < 30
        counts, expected_often = counts, expected[often] * counts.sum() / expected[often].sum()
        assert stats.chisquare(counts, expected_often).pvalue > 1e-3
    else:
        assert stats.chisquare([*counts, rest], [*expected[often], expected_rest]).pvalue > 1e-3


def expect_mean(draws: np.ndarray, truth: np.ndarray) -> None:
    error = draws.std(0) / math.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - truth) <= 4.5 * error + 1e-12).all()


def test_draws_of_vectors_have_the_right_moments():
    gauss = drawn(BY_NAME["MultivariateNormal"])
    root = drawn(BY_NAME["MultivariateNormalCholesky"])
    _, cov = BY_NAME["MultivariateNormal"].settings[0]
    for draws in (gauss, root):
        expect_mean(draws, np.array([1.0, 0.0]))
        away = draws - np.array([1.0, 0.0])
        expect_mean(away[:, :, None] * away[:, None, :], cov)


def test_draws_of_a_simplex_have_the_right_moments():
    draws = drawn(BY_NAME["Dirichlet"])
    np.testing.assert_allclose(draws.sum(-1), 1)
    (alpha,) = BY_NAME["Dirichlet"].settings[0]
    mean, total = alpha / alpha.sum(), alpha.sum()
    expect_mean(draws, mean)
    expect_mean(draws**2, mean * (alpha + 1) / (total + 1))


def test_draws_of_correlations_have_the_right_moments():
    """Under LKJ(eta) correlations are Beta(b, b) on (-1, 1), b = eta + k/2 - 1, of variance 1 / (2b + 1)."""
    roots = drawn(BY_NAME["LKJCholesky"])
    assert (np.triu(roots, 1) == 0).all() and (np.diagonal(roots, axis1=1, axis2=2) > 0).all()
    correlations = roots @ roots.transpose(0, 2, 1)
    np.testing.assert_allclose(np.diagonal(correlations, axis1=1, axis2=2), 1)
    expect_mean(correlations, np.eye(3))
    expect_mean(correlations**2, np.where(np.eye(3), 1, 1 / 6))
