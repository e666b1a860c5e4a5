"""What is drawn exactly: draws and integrals of references against grids, closed forms and an identity.

The identity holds of every reference: for draws x and a proper density h over the same space, the mean of
h(x) exp(E(x)) Z is 1, where E is the energy of the reference's groups and Z its integral.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.populations.reference import Reference, drawn_outright, reference_of

DRAWS = 20_000


def reference(text: str) -> Reference | None:
    """What a program's reference draws outright, without regard to its other factors."""
    return drawn_outright(compile_program(Source("<test>", text)).graph)


def known(text: str) -> Reference:
    found = reference(text)
    assert found is not None
    return found


def energy(found: Reference, values: dict[str, np.ndarray]) -> np.ndarray:
    """The energy (count,) of a reference's groups."""
    backend, total = load_backend("numpy"), np.zeros(len(next(iter(values.values()))))
    bindings = {id(v.node): values[name] for name, v in found.parts.elements.variables.items()}
    for g in found.groups:
        with np.errstate(all="ignore"):
            (e,) = interpret(backend, [g.energy], bindings)
        repeats = g.instances / math.prod(a.size for a in g.energy.axes)
        total = total + repeats * np.asarray(e).reshape((len(e), -1)).sum(axis=1)
    return total


def on_grid(found: Reference, ranges: dict[str, tuple[float, float]], points: int) -> tuple[float, dict]:
    """The log of the integral of a reference over single real variables, and their means and sds, on a grid."""
    axes = [
        np.linspace(low, high, points + 1)[:-1] + (high - low) / points / 2 for low, high in ranges.values()
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).reshape((len(axes), -1))
    values = dict(zip(ranges, grid, strict=True))
    weight = np.exp(-np.nan_to_num(energy(found, values), nan=np.inf))
    for name, v in found.parts.elements.variables.items():
        weight *= (values[name] > v.support.lower) & (values[name] < v.support.upper)
        for bound, sign in ((v.lower, 1), (v.upper, -1)):
            if bound is not None:
                bindings = {id(o.node): values[n] for n, o in found.parts.elements.variables.items()}
                (edge,) = interpret(load_backend("numpy"), [bound], bindings)
                weight *= sign * (values[name] - edge) > 0
    total = weight.sum()
    moments = {}
    for name, x in values.items():
        mean = (weight @ x) / total
        moments[name] = mean, math.sqrt((weight @ (x - mean) ** 2) / total)
    return math.log(total * math.prod((high - low) / points for low, high in ranges.values())), moments


ON_GRIDS = {
    "normal": ("var x: real ~ Normal(1, 2)", {"x": (-15, 15)}),
    "two factors": ("var x: real ~ Normal(1, 2)\nx ~ Normal(-1, 1)\nenergy 0.2 * x", {"x": (-10, 10)}),
    "cut": ("var x: real(-1, 4) ~ Normal(5, 0.7)", {"x": (-1, 4)}),
    "far tail": ("var x: positive ~ Normal(-30, 1)", {"x": (0, 1)}),
    "half": ("var t: positive ~ HalfNormal(2)\nrequire t >= 0.5", {"t": (0.5, 20)}),
    "data": (
        "var a: real ~ Normal(0, 2)\nvar b: real ~ Normal(a, 1)\ndata y: real[3] = [1, 2, 4]\n"
        "y ~ Normal(a + 2 * b, 1.5)",
        {"a": (-8, 8), "b": (-8, 8)},
    ),
    "cut pair": (
        "var a: real(-1, 1)\nvar b: real(0, 2)\nenergy 2 * (a - b)^2 + 0.5 * (b - 1)^2",
        {"a": (-1, 1), "b": (0, 2)},
    ),
    "scales": ("var x: real ~ Normal(2000, 0.001)\nx ~ Normal(2000.001, 0.002)", {"x": (1999.98, 2000.02)}),
    "wide": ("var x: real ~ Normal(1, 3e6)", {"x": (-3e7, 3e7)}),
    "in order": ("var t: positive ~ Gamma(2, 1)\nvar x: real ~ Normal(0, t)", {"t": (0, 25), "x": (-60, 60)}),
    "in order, cut": (
        "var t: positive ~ Normal(0, 1)\nvar x: real(-1, 2) ~ Normal(0, t)",
        {"t": (0, 7), "x": (-1, 2)},
    ),
    "between": ("var a: real(0, 3)\nvar b: real(a, 5) ~ Normal(2, 1)", {"a": (0, 3), "b": (0, 5)}),
    "product of mixtures": (
        "var x: real ~ 0.3 * Normal(0, 1) + 0.7 * Normal(3, 0.5)\nx ~ 0.5 * Normal(-1, 0.4) + 0.5 * Normal(2, 1)\n"
        "energy 0.1 * x^2",
        {"x": (-8, 8)},
    ),
    "mixture, cut": (
        "var x: real(0, 3)\nvar y: real(-2, 2)\n(x - y) ~ 0.2 * Normal(-1, 0.3) + 0.8 * Normal(2, 0.5)\n"
        "energy 0.5 * (x + y - 1)^2",
        {"x": (0, 3), "y": (-2, 2)},
    ),
    "by hand": (
        "var x: real\nvar y: real\nenergy -logsumexp([-(x - 1)^2, -2 * (x + 2)^2 - 0.3, -0.5 * (x - y)^2 - x^2])\n"
        "energy 0.5 * y^2",
        {"x": (-6, 6), "y": (-6, 6)},
    ),
    "over a range": (
        "const at: real[4] = [-3, 0, 2, 2.5]\n"
        "var x: real ~ mixture(0.25 * Normal(at[k], 0.2 + 0.1 * k) for k in range(4))",
        {"x": (-8, 8)},
    ),
    "uniform": ("var x: real ~ Uniform(-1, 3)\nrequire x > 0", {"x": (0, 3)}),
    "uniform, left": ("var x: real ~ Uniform(-1, 3)\nx ~ StudentT(3, 0, 1)", {"x": (-1, 3)}),
    "quotient": (
        "var x: real(-6, 6) ~ (0.4 * Normal(-2, 0.7) + 0.6 * Normal(3, 0.5)) / Normal(-2, 1.5)^0.5",
        {"x": (-6, 6)},
    ),
    "heavy": (
        "var x: real ~ (0.4 * StudentT(9, -4, 0.5) + 0.6 * StudentT(9, 3, 0.8)) * Normal(-1, 3)",
        {"x": (-60, 60)},
    ),
    "mixture": ("var x: real ~ 0.3 * Normal(0, 1) + 0.7 * Normal(3, 0.5)", {"x": (-8, 8)}),
    "box": ("var a: real(0, 3)\nvar b: real(-1, 1)\nrequire a + b > 1", {"a": (0, 3), "b": (-1, 1)}),
}


@pytest.mark.parametrize("name", ON_GRIDS)
def test_draws_and_integrals_are_those_of_a_grid(name: str) -> None:
    text, ranges = ON_GRIDS[name]
    found = known(text)
    log_z, moments = on_grid(found, ranges, 100_000 if len(ranges) == 1 else 1_000)
    assert abs(found.log_z - log_z) < 2e-3 + 4 * found.log_z_error
    draws = found.draw(DRAWS, [7])
    for variable, (mean, sd) in moments.items():
        x = draws[variable]
        assert x.shape == (DRAWS,)
        assert abs(x.mean() - mean) < 4.5 * sd / math.sqrt(DRAWS) + 1e-3 * sd
        heavy = name.startswith("in order")
        assert abs(x.std() / sd - 1) < (0.08 if heavy else 0.025)


def identity(found: Reference) -> tuple[float, float]:
    """The mean of h exp(E) Z over draws, which is 1, and its standard error; h: a normal narrower than they."""
    draws = found.draw(DRAWS, [11])
    x, y = (reals(found, of) for of in (draws, found.draw(DRAWS, [12])))
    lower = 0.8 * np.linalg.cholesky(np.atleast_2d(np.cov(y.T)))
    z = np.linalg.solve(lower, (x - y.mean(axis=0)).T)
    log_h = -0.5 * (z**2 + math.log(2 * math.pi)).sum(axis=0) - np.log(np.diagonal(lower)).sum()
    ratio = np.exp(log_h + energy(found, draws) + found.log_z)
    return float(ratio.mean()), float(ratio.std() / math.sqrt(DRAWS)) + found.log_z_error


def reals(found: Reference, draws: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([draws[n][:, v.free] for n, v in found.parts.elements.variables.items()], axis=1)


IDENTITIES = {
    "path": "use std.planning (SmoothPath)\nvar path: real[6, 2]\nobserve path[0] = [-1, 0]\n"
    "observe path[5] = [1, 0]\npath ~ SmoothPath(0.3)",
    "hierarchy": "var mu: real ~ Normal(0, 5)\nvar theta: real[4] ~ Normal(mu, 2)\n"
    "data y: real[4] = [1, 2, 3, 9]\ny ~ Normal(theta, 1)",
    "regression": "data X: real[9, 3] = [[sin(i), cos(i), 1] for i in range(9)]\n"
    "data y: real[9] = [2 * sin(i) for i in range(9)]\nvar w: real[3] ~ Normal(0, 2)\ny ~ Normal(X @ w, 0.5)",
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_identity_of_integral_and_draws_holds(name: str) -> None:
    mean, error = identity(known(IDENTITIES[name]))
    assert abs(mean - 1) < 4.5 * error < 0.3


BY_REJECTION = {
    "walls": (
        "var a: real(0, 3)\nvar b: real(-1, 1)\nrequire a + b > 1\nprefer b > 0 weight 2",
        {"a": (0, 3), "b": (-1, 1)},
    ),
    "rest": (
        "var x: real ~ Normal(0, 2)\nvar y: real ~ StudentT(9, x, 1)\n1.5 ~ Normal(abs(x) + y^2, 0.5)\n"
        "x ~ StudentT(4, 1, 2)",
        {"x": (-12, 12), "y": (-12, 12)},
    ),
    "contrast": (
        "var x: real\nx ~ contrast(0.6 * Normal(0, 1) + 0.4 * Normal(5, 0.6), Normal(0, 0.5), strength=20)",
        {"x": (-9, 9)},
    ),
}


@pytest.mark.parametrize("name", BY_REJECTION)
def test_programs_are_drawn_whole_where_their_other_factors_keep_enough(name: str) -> None:
    text, ranges = BY_REJECTION[name]
    found = reference_of(compile_program(Source("<test>", text)).graph)
    assert (
        found is not None and found.groups == found.graph.groups and "keep one draw in" in found.description
    )
    log_z, moments = on_grid(found, ranges, 100_000 if len(ranges) == 1 else 1_000)
    assert abs(found.log_z - log_z) < 2e-3 + 4 * found.log_z_error < 0.2
    others = [found.log_z_from((7, chain)) for chain in range(8)]
    assert 0 < np.std(others) < 3 * found.log_z_error and abs(np.mean(others) - log_z) < 2 * found.log_z_error
    draws = found.draw(DRAWS, [7])
    for variable, (mean, sd) in moments.items():
        assert abs(draws[variable].mean() - mean) < 4.5 * sd / math.sqrt(DRAWS) + 1e-3 * sd
        assert abs(draws[variable].std() / sd - 1) < 0.03


def test_a_program_is_not_drawn_by_rejection_where_that_may_be_wrong_or_takes_too_long() -> None:
    programs = (
        "var x: real(-9, 9)\nvar s: positive ~ HalfNormal(1)\n1.5 ~ Normal(x, s)",  # no floor
        "var x: real(-1, 1)\nprefer sqrt(x) > 0.5",  # an energy that is no number
        "var x: real(0, 1)[40]\nfor (i, j) in pairs(40) { require abs(x[i] - x[j]) > 0.02 }",
    )
    for text in programs:
        found = reference_of(compile_program(Source("<test>", text)).graph)
        assert found is not None and found.rest is None and len(found.groups) < len(found.graph.groups)


def test_what_is_observed_is_filled_in_and_draws_are_those_of_the_seed() -> None:
    found = known(IDENTITIES["path"])
    first, again, other = (found.draw(50, seed)["path"] for seed in ([1, 2], [1, 2], [1, 3]))
    assert first.shape == (50, 6, 2)
    assert (first[:, 0] == [-1, 0]).all() and (first[:, 5] == [1, 0]).all()
    assert (first == again).all() and not (first == other).any(axis=0)[1:5].any()


def test_a_variable_scale_is_drawn_in_order_and_the_data_stay_outside() -> None:
    text = (
        "var mu: real ~ Normal(0, 5)\nvar tau: positive ~ HalfNormal(2)\nvar theta: real[8] ~ Normal(mu, tau)\n"
        "data y: real[8] = [1, 2, 3, 4, 5, 6, 7, 8]\ny ~ Normal(theta, 1)"
    )
    found = known(text)
    assert [g.span.text for g in found.groups] == ["var mu: real", "var tau: positive", "var theta: real[8]"]
    assert found.log_z == pytest.approx(0, abs=1e-9) and found.log_z_error == 0
    theta = found.draw(DRAWS, [3])["theta"]
    assert theta.std(axis=0) == pytest.approx(np.full(8, math.sqrt(29)), rel=0.04)
    assert found.description == "mu, tau as a Gaussian; theta from its density"


def test_a_statement_is_kept_where_a_gaussian_would_be_wider_or_have_but_some_of_its_elements() -> None:
    prior = "var x: real[3] ~ StudentT(3, 0, 1)\n"
    for sd, label in ((0.1, "Goal"), (10, "StudentT")):
        found = known(f"use std.planning (Goal)\n{prior}Goal(x | [1, 2, 3], {sd})")
        assert [g.label for g in found.groups] == [label]
    text = "var x: real ~ (0.4 * StudentT(9, -4, 0.5) + 0.6 * StudentT(9, 3, 0.8)) * Normal(-1, 1)"
    assert [g.label for g in known(text).groups] == ["a mixture"]  # its parts would be lost
    some = known(f"{prior}data y: real[2] = [1, 2]\ny ~ Normal(x[:2], 0.1)")
    assert [g.label for g in some.groups] == ["StudentT"]


def test_a_density_that_recurs_is_drawn_along_its_order() -> None:
    text = "var h: real[20]\nvar phi: unit ~ Beta(5, 2)\nh[0] ~ Normal(3, 1)\n"
    text += "for t in range(1, 20) { h[t] ~ Normal(phi * h[t - 1], 0.3) }"
    draws = known(text).draw(DRAWS, [5])
    expected = 3.0  # E h_t = 3 E phi^t
    for t in range(4):
        assert draws["h"][:, t].mean() == pytest.approx(expected, abs=0.05)
        expected *= (5 + t) / (7 + t)
    step = draws["h"][:, 1:] - draws["phi"][:, None] * draws["h"][:, :-1]
    assert step.std(axis=0) == pytest.approx(np.full(19, 0.3), rel=0.03)


def test_statements_that_count_sometimes_or_more_than_once_are_not_drawn() -> None:
    gated = "var k: bool\nvar x: real(-9, 9)\nif k { x ~ StudentT(3, 0, 1) }"
    assert not known(gated).groups
    squared = "var x: real(-9, 9)\nx ~ StudentT(3, 0, 1) ^ 2"
    assert not known(squared).groups
    twice = "var x: real\nx ~ StudentT(3, 0, 1)\nx ~ StudentT(3, 1, 1)"
    assert len(known(twice).groups) == 1
    own = "density Own(x: real) { energy 0.5 * x^4\ndraw 3 * std_normal() }\nvar x: real(-9, 9) ~ Own()"
    assert not known(own).groups  # its draw may not be its energy
    weighed = "var w: unit\nvar x: real(-9, 9) ~ w * StudentT(3, 0, 1) + w * StudentT(3, 1, 1)"
    assert not known(weighed).groups
    circle = "var x: real(-9, 9)\nvar y: real(-9, 9)\nx ~ StudentT(3, y, 1)\ny ~ StudentT(3, x, 1)"
    assert len(known(circle).groups) == 1
    assert reference("var x: real\ndata y: real[2] = [1, 2]\ny ~ StudentT(3, x, 1)") is None
    inner = "factor Two(x: real) { x ~ StudentT(3, 0, 1)\nenergy x^4 }\nvar x: real\nTwo(x)"
    assert len(known(inner).groups) == 1
    assert not known(
        "factor One(x: real) { x ~ StudentT(3, 0, 1) }\nvar x: real(-9, 9)\nx ~ One() ^ 0.5"
    ).groups


def test_draws_that_are_no_values_of_a_type_are_drawn_anew() -> None:
    found = known("var c: ordered(3) ~ Normal(0, 2)")
    assert abs(found.log_z + math.log(6)) < 4.5 * found.log_z_error
    assert (np.diff(found.draw(DRAWS, [1])["c"], axis=1) > 0).all()
    found = known(
        "var k: int(0, 3) ~ Poisson(2)\nvar d: unit_vector(3) ~ Normal(0, 1)\nvar n: int(0, 9) ~ Normal(4, 1)"
    )
    assert [g.label for g in found.groups] == [
        "Poisson"
    ]  # a direction and a whole number are not drawn by a normal
    below = math.exp(-2) * (1 + 2 + 2 + 4 / 3)
    assert abs(found.log_z - math.log(below * 4 * math.pi * 10)) < 4.5 * found.log_z_error
    k = found.draw(DRAWS, [2])["k"]
    assert np.bincount(k) / DRAWS == pytest.approx(
        math.exp(-2) / below * np.array([1, 2, 2, 4 / 3]), abs=0.02
    )


def test_of_a_contrast_what_it_likes_is_drawn_and_the_rest_comes_in() -> None:
    text = (
        "var x: real\nx ~ contrast(0.6 * Normal(0, 1) + 0.4 * Normal(5, 0.6), Normal(0, 0.5), strength=20)\n"
    )
    graph = compile_program(Source("<test>", text)).graph
    found = drawn_outright(graph)
    assert found is not None and len(found.groups) == 1 and len(found.graph.groups) == 2
    assert found.log_z == pytest.approx(0, abs=1e-9) and found.description == "x as a mixture of Gaussians"
    values = {"x": np.linspace(-4, 7, 12)}
    whole, apart = (
        interpret(load_backend("numpy"), [g.energy for g in of.groups], bound)
        for of, bound in (
            (of, {id(v.node): values["x"] for v in of.variables}) for of in (graph, found.graph)
        )
    )
    assert sum(apart) == pytest.approx(sum(whole))
    assert (apart[1] >= -1e-12).all()
    bounded = "var x: real(-9, 9)\nx ~ contrast(StudentT(3, 0, 1), Normal(0, 0.5))"
    left = compile_program(Source("<test>", bounded)).graph
    whole_one = drawn_outright(left)
    assert whole_one is not None and whole_one.graph.groups == left.groups


def test_constraints_on_single_elements_are_limits_of_what_is_drawn() -> None:
    found = known(
        "var x: real(0, 1)[3]\nrequire x[1] >= 0.75\nvar y: real[2] ~ Normal(0, 1)\nrequire y[0] > 1"
    )
    assert len(found.groups) == 3
    assert found.log_z == pytest.approx(math.log(0.25 * 0.158655), abs=1e-5)
    draws = found.draw(DRAWS, [2])
    assert draws["x"].min(axis=0) == pytest.approx([0, 0.75, 0], abs=1e-3)
    assert draws["y"].min(axis=0)[0] > 1


def test_conditions_on_single_elements_leave_pieces_of_a_box() -> None:
    text = (
        "const w: real[3] = [0.4, 0.3, 0.2]\nvar x: real(0, 1)[3]\nvar y: real(0, 2)[3]\n"
        "for i in range(3) {\n  require x[i] + w[i] <= 1\n  require 2 - 2 * x[i] > 0.2\n"
        "  require 0 <= y[i] <= 0.1 or 0.8 <= y[i] and not y[i] > 0.95 or 1.6 <= y[i] <= 1.8\n}"
    )
    found = known(text)
    assert len(found.groups) == 3
    volume = 0.6 * 0.7 * 0.8 * (0.1 + 0.15 + 0.2) ** 3
    assert found.log_z == pytest.approx(math.log(volume))
    draws = found.draw(DRAWS, [2])
    assert draws["x"].max(axis=0) == pytest.approx([0.6, 0.7, 0.8], abs=1e-3)
    assert (energy(found, draws) == 0).all()
    low, middle = ((draws["y"] < edge).mean(axis=0) for edge in (0.5, 1.2))
    assert low == pytest.approx(np.full(3, 10 / 45), abs=0.015)
    assert middle == pytest.approx(np.full(3, 25 / 45), abs=0.016)
    joint = known("var x: real(0, 1)[2]\nrequire x[0] < 0.3 or x[1] < 0.3")
    assert not joint.groups


def test_other_types_are_uniform() -> None:
    text = "var k: int(0, 5)\nvar s: simplex(3)\nvar u: angle\nvar b: bool\n"
    text += "var p: permutation(3)\nvar d: unit_vector(3)"
    found = known(text)
    volume = 6 * 0.5 * 2 * math.pi * 2 * 6 * 4 * math.pi
    assert found.log_z == pytest.approx(math.log(volume))
    draws = found.draw(DRAWS, [9])
    assert set(np.unique(draws["k"])) == set(range(6)) and draws["k"].mean() == pytest.approx(2.5, abs=0.06)
    assert draws["s"].sum(axis=1) == pytest.approx(np.ones(DRAWS))
    assert draws["s"].var(axis=0) == pytest.approx(np.full(3, 1 / 18), rel=0.05)
    assert draws["d"].var(axis=0) == pytest.approx(np.full(3, 1 / 3), rel=0.05)


def test_mixtures_of_many_parts_are_taken_part_by_part() -> None:
    text = (
        "const at: real[20, 2] = [[3 * sin(k), 3 * cos(2 * k)] for k in range(20)]\n"
        "factor Part(x: real[2] | k: int) { x ~ Normal(at[k], 0.1) }\n"
        "var x: real[2]\nx ~ mixture(0.05 * Part(k) for k in range(20))\nx ~ StudentT(3, 0, 2)"
    )
    found = known(text)
    (block,) = found.parts.gaussians[0].blocks
    assert block.means.shape == (20, 2) and found.log_z == pytest.approx(0, abs=1e-9)
    assert np.exp(block.log_weights - block.log_mass) == pytest.approx(np.full(20, 0.05))
    draws = found.draw(DRAWS, [3])["x"]
    nearest = np.linalg.norm(draws[:, None] - block.means, axis=2).argmin(axis=1)
    assert np.bincount(nearest, minlength=20) / DRAWS == pytest.approx(np.full(20, 0.05), abs=0.02)
    assert found.description == "x as a mixture of Gaussians"


def test_mixtures_that_would_be_too_many_together_are_absorbed_as_far_as_they_fit() -> None:
    part = "mixture(0.1 * Normal(k, 0.5) for k in range(10))"
    found = known(f"var x: real\nx ~ {part}\nx ~ {part}\nx ~ 0.5 * Normal(0, 1) + 0.5 * Normal(9, 1)")
    assert len(found.groups) == 2
    assert len(found.parts.gaussians[0].blocks[0].means) == 20
    apart = known("var x: real[30] ~ 0.5 * Normal(0, 1) + 0.5 * Normal(9, 1)")
    assert len(apart.parts.gaussians[0].blocks) == 30


def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    found = known(IDENTITIES["hierarchy"])
    (block,) = found.parts.gaussians[0].blocks

    def too_wide(self: object, count: int, rng: np.random.Generator) -> np.ndarray:
        return block.means[0] + 1.1 * rng.standard_normal((count, 5)) @ block.roots[0].T

    monkeypatch.setattr(type(block), "draw", too_wide)
    mean, error = identity(found)
    assert abs(mean - 1) > 9 * error  # the test above allows 4.5
