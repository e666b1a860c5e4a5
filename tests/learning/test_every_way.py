"""Every method with every net it claims and inputs of every kind, and what comes out on each backend.

A program learns for a few steps, and its energies are the same on all backends, whatever inputs are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.discovery import LEARNERS, NETS
from compose_lang.runtime.backends import load_backend
from tests.compiler.points import density_of

SUBJECTS = {
    "mlp": "x: real[2, 2]", "conv": "x: real[4, 4]", "unet": "x: real[4, 4]", "attention": "x: real[3, 2]",
    "gnn": "x: real[3, 2]",
}  # fmt: skip
FINITE_SUBJECTS = "x: category(3)[2], y: spin"
FINITE = {
    "k: {red, green, blue} = none": "blue", "b: bool": "true", "s: spin": "-1", "i: int(2, 4)[2] = none": "[2, 4]",
}  # fmt: skip
REAL = {"r: real": "0.5", "v: real[2] = none": "[0.1, -0.2]", "p: positive": "1.5"}
SMALL: dict[str, dict[str, Any]] = {"ebm": {"buffer": 32, "langevin": 2}, "flow": {"layers": 1}}
LONG = {("diffusion", net) for net in ("attention", "conv", "gnn", "unet")} | {
    ("ebm", net) for net in set(NETS) - {"mlp"}
}
WAYS = [
    pytest.param(method, net, marks=[pytest.mark.slow] if (method, net) in LONG else [])
    for method, learner in LEARNERS.items()
    for net in (sorted(learner.nets) or [""])
]
ROWS = 40


def rows(declaration: str) -> Any:
    """Data of a parameter's type."""
    rng = np.random.default_rng(list(declaration.encode()))
    kind = declaration.partition(": ")[2].removesuffix(" = none")
    shape: tuple[int, ...] = (ROWS,)
    if kind.endswith("]"):
        kind, _, sizes = kind[:-1].rpartition("[")
        shape = (ROWS, *map(int, sizes.split(",")))
    match kind:
        case "{red, green, blue}" | "category(3)":
            return rng.integers(0, 3, shape)
        case "bool":
            return rng.integers(0, 2, shape)
        case "spin":
            return 2 * rng.integers(0, 2, shape) - 1
        case "int(2, 4)":
            return rng.integers(2, 5, shape)
        case "positive":
            return np.exp(rng.standard_normal(shape))
    return rng.standard_normal(shape)


def declared(declaration: str) -> str:
    """`data k_rows: …[_]` for a parameter."""
    name, _, rest = declaration.partition(": ")
    kind = rest.removesuffix(" = none")
    if kind.startswith("{"):
        return f"data {name}_rows: {kind}[_]"
    base, bracket, sizes = kind.rpartition("[") if kind.endswith("]") else (kind, "", "")
    return f"data {name}_rows: {base}[_{', ' + sizes if bracket else ']'}"


def program(subjects: list[str], inputs: dict[str, str], method: str, options: dict[str, Any]) -> str:
    names = [d.partition(":")[0] for d in (*subjects, *inputs)]
    given = ", ".join([f"{n}={n}_rows" for n in names] + [f"{o}={v}" for o, v in options.items()])
    given_in = dict(zip(names[len(subjects) :], inputs.values(), strict=True))
    optional = [d.partition(":")[0] for d in inputs if d.endswith("none")]
    head = f"factor P({', '.join(subjects)} | {', '.join(inputs)}) = learn {method}({given})"
    all_given = ", ".join(f"{n}={v}" for n, v in given_in.items())
    some_given = ", ".join(f"{n}={v}" for n, v in given_in.items() if n not in optional)
    over = ", ".join(n for n in names[: len(subjects)])
    return "\n".join(
        [
            *map(declared, (*subjects, *inputs)),
            head,
            *(f"var {s}" for s in subjects),
            f"P({over} | {all_given})",
            f"P({over} | {some_given})",
        ]
    )


def energies(model: Any, values: dict[str, np.ndarray], at: str) -> np.ndarray:
    b = load_backend(at)
    with b.scope():
        density = density_of(model.program.graph, b)
        weigh = b.compile(density.energy_of_values) if at == "jax" else density.energy_of_values
        return np.asarray(b.to_numpy(weigh(values)))


@pytest.mark.parametrize(("method", "net"), WAYS)
def test_learns_and_weighs_alike_on_all_backends(method, net):
    finite = "finite" in LEARNERS[method].domains
    subjects = FINITE_SUBJECTS.replace("], ", "];").split(";") if finite else [SUBJECTS[net]]
    if net == "mlp" and not finite:
        subjects.append("y: real")
    inputs = {**FINITE, **REAL}
    if method == "categorical":  # few, so that the rows show some of what is asked for
        inputs = {name: value for name, value in FINITE.items() if "int" not in name}
    options = {**SMALL.get(method, {}), **({"net": f"{net}(4)", "steps": 20, "batch": 16} if net else {})}
    given = [*subjects, *inputs]
    names = [d.partition(":")[0] for d in given]
    text = program(subjects, inputs, method, options)
    model = cg.compile(text, data={f"{n}_rows": rows(d) for n, d in zip(names, given, strict=True)})
    (lesson,) = model.learn()
    assert lesson.how == "learned" and lesson.rows == ROWS and lesson.steps == (20 if net else None)
    values = {n: rows(d)[:6] for n, d in zip(names[: len(subjects)], subjects, strict=False)}
    want = energies(model, values, "numpy")
    assert want.shape == (6,) and np.isfinite(want).all() and len(np.unique(want)) > 1
    for at in ("jax", "torch"):
        np.testing.assert_allclose(energies(model, values, at), want, rtol=1e-5, atol=1e-5)


DIGITS = """\
data images: real[_, 8, 8]
data labels: category(10)[_]
density Digit(x: real[8, 8] | label: category(10) = none) =
    learn diffusion(x=images, label=labels, net=conv(4), steps=3, batch=16)
var x: real[8, 8] ~ Digit * (Digit(3) / Digit)^4
"""


@pytest.mark.slow
def test_guidance_by_an_input_that_may_be_left_out():
    """No warning, a plan that walks the levels, and draws, though three steps teach little."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = {"images": digits.images[:200] / 16.0, "labels": digits.target[:200]}
    model = cg.compile(DIGITS, data=data)
    assert list(model.diagnostics) == []
    plan = model.plan(model.settings(method="annealed(levels=4, moves=1)"))
    assert [block.kernel for block in plan.blocks] == ["annealed"] and not plan.annealing.anneal.families
    run = model.sample(method="annealed(levels=4, moves=1)", chains=1, draws=4)
    assert run.posterior["x"].shape == (1, 4, 8, 8) and np.isfinite(run.posterior["x"]).all()


def test_a_net_that_does_not_fit_the_shape():
    text = "data xs: real[4, 3] = [[1, 2, 3], [2, 3, 4], [3, 4, 5], [5, 6, 7]]\n"
    model = cg.compile(
        text + "density P(x: real[3]) = learn diffusion(x=xs, net=unet(4, 8))\nvar x: real[3] ~ P\n"
    )
    with pytest.raises(ComposeError) as wrong:
        model.sample()
    (found,) = wrong.value.diagnostics
    assert found.code == "CG0203" and "`P`: unet works on images" in found.message and found.span is not None
