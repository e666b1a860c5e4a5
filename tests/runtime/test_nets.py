"""Every file of `nets/`: the same numbers and gradients on all backends, the promised shapes and symmetries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net, Port
from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.discovery import LEARNERS
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned import nets
from compose_lang.runtime.learned.net import Ports
from compose_lang.runtime.learned.nets import load_net
from compose_lang.runtime.learning.loop import Progress
from compose_lang.runtime.learning.trainer import Trainer
from tests.once import once

BACKENDS = ("numpy", "jax", "torch")
FOUND = sorted(p.stem for p in Path(nets.__file__).parent.glob("*.py") if p.stem != "__init__")
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "mlp": [(3,), (2, 3)],
    "conv": [(5, 4), (3, 4, 6)],
    "unet": [(4, 6), (2, 6, 4)],
    "attention": [(5,), (4, 3)],
    "gnn": [(4, 3), (5, 1)],
}
WIDTHS = [(8, 8), (4, 6), (6,)]
CONDITION = 5
ROWS = 3
CASES = [(kind, shape, widths) for kind in FOUND for shape in SHAPES[kind] for widths in WIDTHS]


def made(kind: str, ports: Ports, widths: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of which none is 0, in float64."""
    rng = np.random.default_rng(seed)
    wanted = load_net(kind).weights(widths, ports)
    return {n: w.mean + (w.spread or 0.3) * rng.standard_normal(w.shape) for n, w in sorted(wanted.items())}


def drawn(ports: Ports, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, *ports.shape)), rng.standard_normal((rows, ports.condition))


def run(
    kind: str, ports: Ports, widths: tuple[int, ...], w: Any, x: Any, c: Any, name: str = "numpy"
) -> np.ndarray:
    b = load_backend(name)

    def apply(arrays: Any, x: Any, c: Any) -> Any:
        return load_net(kind).apply(b, arrays, widths, ports, x, c)

    with b.scope():
        arrays = {n: b.asarray(a) for n, a in w.items()}
        return np.asarray(b.to_numpy(once(b, apply)(arrays, b.asarray(x), b.asarray(c))))


def ports_of(shape: tuple[int, ...], out: tuple[int, ...] | None = None) -> Ports:
    return Ports(shape, CONDITION, shape if out is None else out)


def test_every_net_is_tested() -> None:
    assert set(FOUND) == set(SHAPES) == {n for learner in LEARNERS.values() for n in learner.nets}
    assert all(load_net(kind).name == kind for kind in FOUND)


@pytest.mark.parametrize("out", [None, (7,)], ids=["along x", "7 numbers"])
@pytest.mark.parametrize(("kind", "shape", "widths"), CASES)
def test_backends_agree(kind: str, shape: tuple[int, ...], widths: tuple[int, ...], out: Any) -> None:
    ports = ports_of(shape, out)
    w, (x, c) = made(kind, ports, widths), drawn(ports)
    found = [run(kind, ports, widths, w, x, c, name) for name in BACKENDS]
    assert found[0].shape == (ROWS, *ports.out) and found[0].dtype == np.float64
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-10)
    alone = run(kind, ports, widths, w, x[1:2], c[1:2])
    np.testing.assert_allclose(alone, found[0][1:2], rtol=0, atol=1e-12)  # rows are apart from each other


@pytest.mark.parametrize("out", [None, (7,)], ids=["along x", "7 numbers"])
@pytest.mark.parametrize("kind", FOUND)
def test_every_input_and_weight_matters(kind: str, out: Any) -> None:
    ports, widths = ports_of(SHAPES[kind][0], out), (4, 6)
    w, (x, c) = made(kind, ports, widths), drawn(ports)
    before = run(kind, ports, widths, w, x, c)
    for k in range(CONDITION):
        other = c.copy()
        other[:, k] += 1.0
        assert (np.abs(run(kind, ports, widths, w, x, other) - before).reshape(ROWS, -1).max(1) > 1e-4).all()
    for place in np.ndindex(ports.shape):
        moved = x.copy()
        moved[(slice(None), *place)] += 1.0
        assert (np.abs(run(kind, ports, widths, w, moved, c) - before).reshape(ROWS, -1).max(1) > 1e-5).all()
    for name in w:
        assert np.abs(run(kind, ports, widths, {**w, name: w[name] + 0.1}, x, c) - before).max() > 1e-6, name


@pytest.mark.parametrize(("kind", "shape", "widths"), CASES)
def test_gradients_of_the_energy(kind: str, shape: tuple[int, ...], widths: tuple[int, ...]) -> None:
    ports = ports_of(shape)
    w, (x, c) = made(kind, ports, widths), drawn(ports)

    def gradient(name: str) -> np.ndarray:
        b = load_backend(name)
        with b.scope():
            arrays = {n: b.asarray(a) for n, a in w.items()}

            def energy(u: Any) -> Any:
                z = u.reshape((ROWS, *shape))
                out = load_net(kind).apply(b, arrays, widths, ports, z, b.asarray(c))
                return b.xp.sum((z * out).reshape((ROWS, -1)), axis=1)

            both = once(b, b.value_and_grad(energy))
            return np.asarray(b.to_numpy(both(b.asarray(x.reshape(ROWS, -1)))[1]))

    found = gradient("jax")
    np.testing.assert_allclose(gradient("torch"), found, rtol=0, atol=1e-8)
    along = np.random.default_rng(2).standard_normal(x.shape)
    h = 1e-5
    both = [((x + s * h * along) * run(kind, ports, widths, w, x + s * h * along, c)) for s in (1, -1)]
    slope = (both[0] - both[1]).reshape(ROWS, -1).sum(1) / (2 * h)
    np.testing.assert_allclose((found * along.reshape(ROWS, -1)).sum(1), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", FOUND)
def test_gradients_in_the_weights(kind: str) -> None:
    ports, widths = ports_of(SHAPES[kind][0]), (4, 6)
    w, (x, c) = made(kind, ports, widths), drawn(ports)
    net, numbers, tensors = load_net(kind), load_backend("jax"), load_backend("torch")

    def total(b: Any, arrays: Any) -> Any:
        return b.xp.sum(net.apply(b, arrays, widths, ports, b.asarray(x), b.asarray(c)) ** 2)

    with numbers.scope():
        found = once(numbers, jax.grad(lambda a: total(numbers, a)))(
            {n: jnp.asarray(a) for n, a in w.items()}
        )
        found = {n: np.asarray(a) for n, a in found.items()}
    with tensors.scope():
        other = torch.func.grad(lambda a: total(tensors, a))({n: torch.as_tensor(a) for n, a in w.items()})
    for name in w:
        scale = np.abs(found[name]).max()
        assert scale > 0, name
        np.testing.assert_allclose(other[name].numpy(), found[name], rtol=0, atol=1e-9 * max(scale, 1.0))


@pytest.mark.parametrize("kind", FOUND)
def test_is_smooth(kind: str) -> None:
    """Second differences fall as h²: a kink would leave them at h."""
    ports, widths = ports_of(SHAPES[kind][0]), (8, 8)
    w, (x, c) = made(kind, ports, widths), drawn(ports, 1)
    x = x * 0.1  # kinks, where there are any, are near 0
    line = np.linspace(-3, 3, 601)
    rows = x + line.reshape((-1, *(1,) * len(ports.shape))) * drawn(ports, 1)[0]
    found = run(kind, ports, widths, w, rows, np.repeat(c, len(rows), 0)).reshape(len(rows), -1)

    def jump(every: int) -> float:
        return float(np.abs(np.diff(found[::every], 2, axis=0)).max())

    assert jump(2) / jump(1) > 3.0  # 4 where smooth, 2 at a kink


def test_gnn_does_not_know_the_order_and_attention_does() -> None:
    ports, order = ports_of((5, 2)), np.array([3, 0, 4, 1, 2])
    for kind, knows in (("gnn", False), ("attention", True)):
        w, (x, c) = made(kind, ports, (8, 8)), drawn(ports)
        apart = np.abs(
            run(kind, ports, (8, 8), w, x[:, order], c) - run(kind, ports, (8, 8), w, x, c)[:, order]
        ).max()
        assert apart > 1e-3 if knows else apart < 1e-12
    pooled = ports_of((5, 2), (3,))
    w, (x, c) = made("gnn", pooled, (8, 8)), drawn(pooled)
    same = run("gnn", pooled, (8, 8), w, x[:, order], c)
    np.testing.assert_allclose(same, run("gnn", pooled, (8, 8), w, x, c), rtol=0, atol=1e-12)


def test_conv_moves_with_what_it_sees() -> None:
    """Away from the edge a spot moved by a pixel gives the result moved by a pixel, and no spot nothing of it."""
    ports, widths = ports_of((2, 14, 14)), (4, 4)  # sees 3 pixels far
    w, (_, c) = made("conv", ports, widths), drawn(ports)
    x, moved = np.zeros((2, ROWS, 2, 14, 14))
    x[:, :, 6, 6], moved[:, :, 7, 5] = 2.0, 2.0
    empty = run("conv", ports, widths, w, 0 * x, c)
    found, other = (
        run("conv", ports, widths, w, x, c) - empty,
        run("conv", ports, widths, w, moved, c) - empty,
    )
    np.testing.assert_allclose(other[:, :, 4:11, 2:9], found[:, :, 3:10, 3:10], rtol=0, atol=1e-12)
    assert np.abs(found[:, :, 3, 3]).max() > 1e-6  # a corner of what is seen
    beyond = found.copy()
    beyond[:, :, 3:10, 3:10] = 0.0
    assert np.abs(beyond).max() < 1e-12


def test_convolution_is_that_of_torch() -> None:
    from compose_lang.runtime.learned import convolution

    rng, b = np.random.default_rng(0), load_backend("numpy")
    x, w = rng.standard_normal((2, 3, 5, 6)), rng.standard_normal((3, 3 * 3, 4))
    found = convolution.convolve(b, convolution.inward(b, ports_of((3, 5, 6)), x), w).transpose(2, 3, 0, 1)
    kernel = torch.as_tensor(w.reshape(3, 3, 3, 4).transpose(3, 2, 0, 1))  # (out, in, row, column)
    expected = torch.nn.functional.conv2d(torch.as_tensor(x), kernel, padding=1).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "shape", "widths", "words"),
    [
        ("conv", (5,), (8,), r"conv works on images, real\[h, w\] or real\[c, h, w\], and this is real\[5\]"),
        ("unet", (2, 2, 4, 4), (8,), r"unet works on images, .* this is real\[2, 2, 4, 4\]"),
        ("unet", (6, 6), (8, 8, 8), r"6 x 6 pixels are not divisible by 4"),
        ("attention", (2, 3, 4), (8,), r"attention works on rows of tokens, real\[n\] or real\[n, d\]"),
        ("gnn", (5,), (8,), r"gnn works on n nodes of d numbers, real\[n, d\], and this is real\[5\]"),
    ],
)
def test_what_does_not_fit(kind: str, shape: tuple[int, ...], widths: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_net(kind).weights(widths, ports_of(shape))


def held_out(shape: tuple[int, ...], data: np.ndarray, net: Net, steps: int) -> float:
    options = dict(LEARNERS["diffusion"].options, steps=steps, batch=64)
    trainer = Trainer(
        LearnedFactor("P", "diffusion", (Port("x", Type(REAL, shape)),), (), net, options, {"x": data}, None)
    )
    trainer.learner = trainer.learner.__class__(**{**vars(trainer.learner), "finish": None})
    seen: list[Progress] = []
    trainer.run(watch=seen.append)
    return seen[-1].held_out


@pytest.mark.parametrize(
    "net", [Net("conv", (16, 16)), pytest.param(Net("unet", (16, 32)), marks=pytest.mark.slow)], ids=str
)
def test_learns_digits(net: Net) -> None:
    from sklearn.datasets import load_digits

    data = load_digits().images / 16.0
    # a net that has seen nothing is near 0, and 0 is the Gaussian of the data's scale
    assert held_out((8, 8), data, net, 300) < 0.93 * held_out((8, 8), data, net, 1)
