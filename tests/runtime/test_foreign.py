"""Foreign code: what it gives comes out unchanged on every backend, with its gradients, and its faults are told."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import compose_lang as cg
from compose_lang.api.check import check
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.views.coordinates import Coordinates

ENERGIES = '''
import torch
import jax
import jax.numpy as jnp

LOC, SCALE = [1.0, -1.0], [0.5, 2.0]


class Gauss(torch.nn.Module):
    """In 32 bits, as modules are."""

    def __init__(self):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.tensor(LOC))
        self.register_buffer("scale", torch.tensor(SCALE))
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        assert x.dtype == torch.float32
        return 0.5 * self.drop(((x - self.loc) / self.scale) ** 2).sum(1, keepdim=True)


made = Gauss()


def make():
    return Gauss()


def of_torch(x):
    return 0.5 * (((x - torch.tensor(LOC)) / torch.tensor(SCALE)) ** 2).sum(1)


def of_jax(x):
    return 0.5 * jnp.sum(((x - jnp.array(LOC)) / jnp.array(SCALE)) ** 2, axis=1)


def of_either(x):
    return 0.5 * ((x[:, 0] - 1.0) / 0.5) ** 2 + 0.5 * ((x[:, 1] + 1.0) / 2.0) ** 2


class Nested:
    of_jax = staticmethod(of_jax)


def curved_torch(x, z, t, flag):
    """Over a matrix, an ordering of three, a number and a truth value."""
    rows = torch.take_along_dim(x, z[:, :, None], 1)
    return torch.sin(rows[:, 0]).sum(1) * t + torch.where(flag, (x**2).sum((1, 2)), torch.exp(-t))


def curved_jax(x, z, t, flag):
    rows = jnp.take_along_axis(x, z[:, :, None], 1)
    return jnp.sin(rows[:, 0]).sum(1) * t + jnp.where(flag, (x**2).sum((1, 2)), jnp.exp(-t))


def labelled(x, label=None):
    return 0.5 * (x if label is None else x - label.to(x.dtype)) ** 2


def warmed(x, noise_level):
    return 0.5 * jnp.sum(x**2, axis=1) / (1.0 + noise_level**2)
'''


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a program beside a module `mine` of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def write(text: str, code: str = ENERGIES, name: str = "mine.py") -> Path:
        (tmp_path / name).write_text(code)
        (tmp_path / "program.cg").write_text(text)
        return tmp_path / "program.cg"

    yield write
    sys.modules.pop("mine", None)


PLAIN = 'factor Critic(x: real[2]) = extern("mine:{}")\nvar x: real[2] ~ Critic\n'
NAMES = ("made", "Gauss", "make", "of_torch", "of_jax", "of_either", "Nested.of_jax")


def density_of(path: Path, backend: str, precision: Any = "float64") -> Density:
    model = cg.compile(path, trust=True)
    return Density(model.program.graph, load_backend(backend, precision))


def energy_and_gradient(
    density: Density, position: dict[str, np.ndarray], compiled: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Of all continuous variables together."""
    b = density.backend
    with b.scope():
        block = Coordinates(density, tuple(v.name for v in density.graph.variables if not v.is_discrete))
        placed = {name: b.asarray(u) for name, u in position.items()}
        both = b.value_and_grad(lambda u: density.energy(block.unravel(placed, u)))
        each, gradient = (b.compile(both) if compiled else both)(block.ravel(placed))
        return b.to_numpy(each), b.to_numpy(gradient)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_energies_and_gradients_are_those_of_the_code(program, backend, name):
    density = density_of(program(PLAIN.format(name)), backend)
    x = np.random.default_rng(1).standard_normal((4, 1, 2)).reshape((4, 2)) * 3
    each, gradient = energy_and_gradient(density, {"x": x}, compiled=backend == "jax")
    exact = (x - [1.0, -1.0]) / [0.5, 2.0] ** np.array(2.0)
    loose = 1e-5 if name in ("made", "Gauss", "make") else 1e-12
    np.testing.assert_allclose(each, 0.5 * (((x - [1.0, -1.0]) / [0.5, 2.0]) ** 2).sum(1), rtol=loose)
    np.testing.assert_allclose(gradient, exact, rtol=loose, atol=loose)
    assert each.dtype == gradient.dtype == np.float64


CURVED = """
factor Curved(x: real[3, 2], z: permutation(3) | t: positive, flag: bool) = extern("mine:curved_{}")
data flag: bool = {}
var x: real[3, 2] ~ Normal(0, 1)
var z: permutation(3)
var t: positive ~ Exponential(1)
Curved(x, z | t, flag)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("library", ["jax", "torch"])
@pytest.mark.parametrize("flag", ["true", "false"])
def test_several_arguments_of_every_kind(program, backend, library, flag):
    path = program(CURVED.format(library, flag))
    density, host = density_of(path, backend), density_of(path, "numpy")
    rng = np.random.default_rng(2)
    position = {
        "x": rng.standard_normal((5, 6)),
        "z": np.stack([rng.permutation(3) for _ in range(5)])[:, None],
        "t": rng.standard_normal((5, 1)),
    }
    each, gradient = energy_and_gradient(density, position, compiled=backend == "jax")

    def reference(u: np.ndarray) -> np.ndarray:
        x, t = u[:, :6].reshape((-1, 3, 2)), np.exp(u[:, 6])
        curved = np.sin(np.take_along_axis(x, position["z"][:, 0, :, None], 1)[:, 0]).sum(1) * t
        curved = curved + ((x**2).sum((1, 2)) if flag == "true" else np.exp(-t))
        return curved + 0.5 * (x**2).sum((1, 2)) + 3 * np.log(2 * np.pi) + t - u[:, 6]

    u = np.concatenate([position["x"], position["t"]], axis=1)
    np.testing.assert_allclose(each, reference(u), rtol=1e-12)
    with host.backend.scope():
        np.testing.assert_allclose(host.energy(position), each, rtol=1e-12)
    step = 1e-6
    for k in range(7):
        moved = np.eye(7)[k] * step
        slope = (reference(u + moved) - reference(u - moved)) / (2 * step)
        np.testing.assert_allclose(gradient[:, k], slope, rtol=1e-6, atol=1e-8)


def test_what_is_made_is_made_once(program):
    """A factory may begin with random weights: all backends must see the same."""
    code = (
        "import torch\n\n\ndef make():\n    s = torch.rand(2)\n    return lambda x: torch.sum(s * x**2, 1)\n"
    )
    model = cg.compile(program(PLAIN.format("make"), code), trust=True)
    found = [model.energy({"x": [1.0, 2.0]})]
    for backend in ("jax", "torch"):
        b = load_backend(backend)  # type: ignore[arg-type]
        density = Density(model.program.graph, b)
        found.append(energy_and_gradient(density, {"x": np.array([[1.0, 2.0]])}, compiled=False)[0].item())
    assert found == pytest.approx([found[0]] * 3, rel=1e-6)


def test_a_float32_sampler(program):
    for backend in ("jax", "torch"):
        for name in ("Gauss", "of_jax"):
            density = density_of(program(PLAIN.format(name)), backend, "float32")
            each, gradient = energy_and_gradient(density, {"x": np.array([[2.0, 1.0]])}, compiled=False)
            assert each.dtype == gradient.dtype == np.float32
            np.testing.assert_allclose(each, [2.0 + 0.5], rtol=1e-5)
            np.testing.assert_allclose(gradient, [[4.0, 0.5]], rtol=1e-5)


def test_an_optional_input_that_is_left_out_is_none(program):
    text = 'density L(x: real | label: category(3) = none) = extern("mine:labelled")\nvar x: real ~ {}\n'
    for backend in ("jax", "torch"):
        for applied, energy in (("L", 4.5), ("L(2)", 0.5)):
            density = density_of(program(text.format(applied)), backend)
            each, _ = energy_and_gradient(density, {"x": np.array([[3.0]])}, compiled=False)
            np.testing.assert_allclose(each, [energy])


def test_plates_are_rows_of_one_call(program):
    text = 'factor C(x: real[2]) = extern("mine:of_torch")\nvar x: real[3, 2] ~ C\n'
    x = np.arange(12.0).reshape((2, 6))
    exact = 0.5 * (((x.reshape((2, 3, 2)) - [1.0, -1.0]) / [0.5, 2.0]) ** 2).sum((1, 2))
    for backend in ("jax", "torch"):
        each, _ = energy_and_gradient(density_of(program(text), backend), {"x": x}, compiled=False)
        np.testing.assert_allclose(each, exact)


def test_under_vmap_as_nuts_runs_chains(program):
    density = density_of(program(PLAIN.format("of_torch")), "jax")
    x = np.random.default_rng(0).standard_normal((4, 2))
    with density.backend.scope():
        one = lambda u: density.energy({"x": u[None]})[0]  # noqa: E731 - as a kernel has it
        each, gradient = jax.jit(jax.vmap(jax.value_and_grad(one)))(x)
        np.testing.assert_allclose(gradient, (x - [1.0, -1.0]) / [0.25, 4.0])
        np.testing.assert_allclose(each, density.energy({"x": x}))


# --- whole runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Gauss", "of_jax"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_draws_follow_the_density(program, monkeypatch, backend, name):
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    model = cg.compile(program(PLAIN.format(name)), trust=True)
    run = model.sample(seed=3, chains=2, draws=200, warmup=100, backend=backend, method="hmc(leapfrog=4)")
    for k, (mean, sd) in enumerate([(1.0, 0.5), (-1.0, 2.0)]):
        row = run.summary()[f"x[{k}]"]
        assert abs(row["mean"] - mean) < 4.5 * row["mcse_mean"]
        assert row["sd"] == pytest.approx(sd, rel=4.5 / np.sqrt(2 * min(row["ess_bulk"], row["ess_tail"])))


def test_jax_code_is_one_operation_of_a_traced_torch_program(program):
    density = density_of(program(PLAIN.format("of_jax")), "torch")
    b = density.backend
    with b.scope():
        graph = make_fx(b.value_and_grad(lambda u: density.energy({"x": u[:, None]})))(torch.zeros((1, 2)))
        each, gradient = graph(torch.tensor([[2.0, 1.0]]))  # other values than it was traced with
    assert "foreign_energy_and_gradients" in graph.code
    np.testing.assert_allclose(each, [2.5])
    np.testing.assert_allclose(gradient, [[4.0, 0.5]])


@pytest.mark.slow
def test_jax_code_in_a_compiled_torch_program(program):
    density = density_of(program(PLAIN.format("of_jax")), "torch")
    each, gradient = energy_and_gradient(density, {"x": np.array([[2.0, 1.0]])}, compiled=True)
    np.testing.assert_allclose(each, [2.5])
    np.testing.assert_allclose(gradient, [[4.0, 0.5]])


def test_discrete_variables_under_foreign_code(program):
    code = "import torch\n\n\ndef agree(s):\n    return -0.5 * (s[:, 0] * s[:, 1]).to(torch.float32)\n"
    text = 'factor A(s: spin[2]) = extern("mine:agree")\nvar s: spin[2] ~ A\nlet same = s[0] * s[1]\n'
    p = np.exp(0.5) / (np.exp(0.5) + np.exp(-0.5))
    for backend in ("numpy", "jax"):
        run = cg.compile(program(text, code), trust=True).sample(
            seed=0, chains=2, draws=200, warmup=20, backend=backend
        )
        row = run.summary()["same"]
        assert abs(row["mean"] - (2 * p - 1)) < 4.5 * row["mcse_mean"]


@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_a_family_over_levels_is_walked(program, backend):
    text = 'factor W(x: real[2]) = extern("mine:warmed", noise_level=true)\nvar x: real[2] ~ W * Normal([1, 1], 1)\n'
    text += "infer x by annealed(levels=40)\n"
    model = cg.compile(program(text), trust=True)
    assert "weights by energies" in model.explain()
    run = model.sample(seed=0, chains=2, draws=1000, backend=backend)
    for k in range(2):
        values = np.asarray(run.posterior["x"])[:, :, k]
        assert abs(values.mean() - 0.5) < 4.5 * np.sqrt(0.5 / 500)
        assert values.std() == pytest.approx(np.sqrt(0.5), rel=0.12)


# --- trust -----------------------------------------------------------------------------------------------

BOMB = "raise SystemExit('imported')\n"


def test_nothing_is_imported_without_trust_nor_by_checking(program, monkeypatch):
    path = program(PLAIN.format("of_jax"), BOMB)
    monkeypatch.setenv("COMPOSE_TRUST", "1")
    for trusting in ({}, {"trust": False}):
        with pytest.raises(ComposeError, match="CG0414"):
            cg.compile(path, **trusting)
    assert [d.code for d in check(path)] == ["CG0414"]
    assert check(path, trust=True) == []
    assert "Critic" in cg.compile(path, trust=True).explain()
    assert "mine" not in sys.modules
    with pytest.raises(ComposeError, match=r"CG0417.*cannot be imported: SystemExit: imported"):
        cg.compile(path, trust=True).sample(seed=0)


def test_a_program_that_is_used_needs_trust_too(program, tmp_path):
    inner = program(PLAIN.format("of_jax"), BOMB)
    inner.rename(tmp_path / "inner.cg")
    for text in (
        'use "inner.cg" as inner\nvar y: real[2] ~ inner.Critic\n',
        'use "inner.cg" as inner\nvar y: real[2]\ninner.Main(x=y)\n',
    ):
        (tmp_path / "outer.cg").write_text(text)
        assert "CG0414" in [d.code for d in check(tmp_path / "outer.cg")]
        assert check(tmp_path / "outer.cg", trust=True) == []


def test_what_a_used_program_names_is_beside_it(program, tmp_path):
    (tmp_path / "parts").mkdir()
    program(PLAIN.format("of_jax")).rename(tmp_path / "parts" / "inner.cg")
    (tmp_path / "mine.py").rename(tmp_path / "parts" / "mine.py")
    (tmp_path / "outer.cg").write_text('use "parts/inner.cg" as inner\nvar y: real[2] ~ inner.Critic\n')
    found = cg.compile(tmp_path / "outer.cg", trust=True).energy({"y": [2.0, 1.0]})
    assert found == pytest.approx(2.5)


# --- faults ----------------------------------------------------------------------------------------------

FAULTS = {
    "gone:energy": ("CG0417", "there is no module `gone`"),
    "mine:nothing": ("CG0417", "`mine` has no `nothing`"),
    "mine:number": ("CG0417", "`mine:number` is float, not a function"),
    "mine:makes_nothing": ("CG0417", "`mine:makes_nothing` makes NoneType, not a function"),
    "mine:total": ("CG0418", "`mine:total` gives one number for 3 rows"),
    "mine:wide": ("CG0418", r"gives an array of the shape \[3, 2\] for 3 rows"),
    "mine:whole": ("CG0418", "gives torch.int64: energies are floats"),
    "mine:whole_jax": ("CG0418", "gives int(32|64): energies are floats"),
    "mine:text": ("CG0418", "gives str, not a tensor"),
    "mine:text_jax": ("CG0418", "gives str, not an array"),
    "mine:raises": ("CG0418", "raises ValueError: too cold"),
    "mine:raises_jax": ("CG0418", "raises ValueError: too cold"),
    "mine:undefined": ("CG0418", "gives NaN"),
    "mine:undefined_jax": ("CG0418", "gives NaN"),
    "mine:centred": ("CG0418", "depends on them, or is random"),
    "mine:centred_jax": ("CG0418", "depends on them, or is random"),
    "mine:noisy": ("CG0418", "depends on them, or is random"),
    "mine:overwrites": ("CG0418", "changes its arguments"),
    "mine:flat": ("CG0418", "has no gradient"),
    "mine:sharp": ("CG0418", "has a gradient that is NaN"),
    "mine:branches_jax": ("CG0418", "raises TracerBoolConversionError"),
    "mine:mixed": ("CG0418", "works with neither library"),
    "mine:two": ("CG0418", "raises TypeError"),
}
FAULTY = """
import torch
import jax.numpy as jnp
number = 1.0
def makes_nothing(): return None
def total(x): return torch.sum(x**2)
def wide(x): return torch.exp(x)
def whole(x): return torch.sum(x, 1).to(torch.int64)
def whole_jax(x): return jnp.sum(x > 0, axis=1)
def text(x): return torch.__name__
def text_jax(x): return jnp.__name__
def raises(x):
    torch.sum(x)
    raise ValueError("too cold\\nand more")
def raises_jax(x):
    jnp.sum(x)
    raise ValueError("too cold\\nand more")
def undefined(x): return torch.log(-torch.sum(x**2, 1))
def undefined_jax(x): return jnp.log(-jnp.sum(x**2, axis=1))
def centred(x): return torch.sum((x - torch.mean(x, 0)) ** 2, 1)
def centred_jax(x): return jnp.sum((x - jnp.mean(x, axis=0)) ** 2, axis=1)
def noisy(x): return torch.sum(x**2, 1) + torch.rand(len(x))
def overwrites(x): return torch.sum(x.mul_(2) ** 2, 1)
@torch.no_grad()
def flat(x): return torch.sum(x**2, 1)
def sharp(x): return torch.sqrt(torch.sum(x - x, 1))
def branches_jax(x): return jnp.sum(x, axis=1) if x[0, 0] > 0 else -jnp.sum(x, axis=1)
def mixed(x): return helper(x)
def helper(x): return x.nothing()
def two(x, y): return torch.sum(x + y, 1)
"""


@pytest.mark.parametrize("source", FAULTS)
@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_faults_are_told_at_the_declaration(program, source, backend):
    code, message = FAULTS[source]
    path = program(f'factor Critic(x: real[2]) = extern("{source}")\nvar x: real[2] ~ Critic\n', FAULTY)
    with pytest.raises(ComposeError, match=f"(?s){code}.*{message}") as told:
        density_of(path, backend)
    (found,) = told.value.diagnostics
    assert found.span is not None and found.span.text == f'extern("{source}")'


def test_what_torch_cannot_trace_runs_closed(program):
    code = "import torch\n\n\ndef f(x):\n    return torch.sum(x**2, 1) if torch.sum(x).item() < 1e9 else 3 * x[:, 0]\n"
    for backend in ("jax", "torch"):
        density = density_of(program(PLAIN.format("f"), code), backend)
        each, gradient = energy_and_gradient(density, {"x": np.ones((1, 2))}, compiled=False)
        assert each == [2.0] and gradient.tolist() == [[2.0, 2.0]]
    assert type(next(iter(density.foreign.values())).bridge).__name__ == "InTorch"


def test_what_is_raised_while_sampling_is_told(program):
    code = """
import torch

def far(x):
    if bool((x.abs() > 3).any()):
        raise RuntimeError("too far")
    return 0.01 * torch.sum(x**2, 1)
"""
    model = cg.compile(program(PLAIN.format("far"), code), trust=True)
    with pytest.raises(ComposeError, match=r"CG0418.*raises RuntimeError: too far"):
        model.sample(seed=0, chains=1, draws=50, warmup=50, backend="jax", method="hmc")


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken(program, tmp_path):
    cg.compile(program(PLAIN.format("of_jax")), trust=True).energy({"x": [0.0, 0.0]})
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.py").write_text("def of_jax(x):\n    return 0 * x[:, 0]\n")
    (other / "program.cg").write_text(PLAIN.format("of_jax"))
    with pytest.raises(ComposeError, match=r"CG0417.*another module `mine` is imported already"):
        cg.compile(other / "program.cg", trust=True).energy({"x": [0.0, 0.0]})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('extern("mine")', "CG0206"),
        ('extern("mine:")', "CG0206"),
        ('extern(":f")', "CG0206"),
        ('extern("mine:f;g")', "CG0206"),
        ('extern("../mine:f")', "CG0206"),
        ("extern(1)", "CG0204"),
        ("extern()", "CG0206"),
        ('extern("mine:f", "other")', "CG0206"),
        ('extern("mine:f", library="tensorflow")', "CG0206"),
        ('extern("mine:f", noise_level=2)', "CG0204"),
    ],
)
def test_a_declaration_that_is_wrong(program, text, code):
    found = check(program(f"factor Critic(x: real[2]) = {text}\nvar x: real[2] ~ Critic\n"), trust=True)
    assert [d.code for d in found if d.severity == "error"] == [code]


def test_the_library_may_be_said(program):
    path = program(PLAIN.format("of_jax").replace(")\n", ', library="torch")\n', 1))
    with pytest.raises(ComposeError, match="CG0418"):
        density_of(path, "jax")
    path = program(PLAIN.format("of_either").replace(")\n", ', library="torch")\n', 1))
    assert type(next(iter(density_of(path, "jax").foreign.values())).bridge).__name__ == "InJax"
    assert type(
        next(iter(density_of(program(PLAIN.format("of_either")), "jax").foreign.values())).bridge
    ).__name__ == ("JaxCode")


def test_the_page_of_the_documentation(program):
    page = (Path(__file__).parents[2] / "docs" / "foreign.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    text = re.search(r"```cg fragment\n(.*?)```", page, re.DOTALL)[1]
    path = program(text, code, "critic.py")
    energy = cg.compile(path, trust=True).energy({"x": [1.0, 1.0]})
    assert energy == pytest.approx(2.0 * 2 + 2 / 18 + 2 * np.log(3 * np.sqrt(2 * np.pi)), rel=1e-6)
