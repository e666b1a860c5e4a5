"""Kernels that draw along lines: programs of two numbers come out as quadrature has them."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.runtime.arrays import noise as generator
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels.common import slicing
from compose_lang.runtime.planning.plan import plan
from tests.compiler.points import graph_of, views_on
from tests.populations.planes import PLANES, SOUND, STARTS, by_quadrature, scores

KERNELS = ["slice", "hit_and_run"]
CHAINS, STEPS, STEPS_OF_RODS = 3000, 16, 44


def drawn(
    name: str, kernel: str, chains: int, steps: int, backend_name: str = "numpy"
) -> dict[str, np.ndarray]:
    """Values after each sweep of a plane's program by a kernel, (steps, chains, …)."""
    start = {n: np.broadcast_to(x, (chains, *np.shape(x))) for n, x in STARTS[name].items()}
    return drawn_of(f"{PLANES[name]}\ninfer by {kernel}", start, steps, backend_name)


def drawn_of(
    text: str, start: dict[str, np.ndarray], steps: int, backend_name: str = "numpy"
) -> dict[str, np.ndarray]:
    """Values after each sweep of a program by its plan, (steps, chains, …)."""
    backend, graph = load_backend(backend_name), graph_of(text)
    views = views_on(graph, backend, plan(graph, backend_name))
    chains = len(next(iter(start.values())))
    record: dict[str, list[np.ndarray]] = {}
    with backend.scope():
        position = views.density.position_of(start)
        kernels = views.kernels(0)
        numbers = backend.asarray(np.arange(chains))
        keys = [generator.chain_keys(3, numbers, k, backend) for k in range(len(kernels))]
        states = [k.init(position, key) for k, key in zip(kernels, keys, strict=True)]
        for t in range(steps):
            for k, bound in enumerate(kernels):
                noise = generator.draw(bound.noise, keys[k], backend.asarray(t), backend)
                position, states[k], _ = bound.step(position, states[k], noise, backend.asarray(t))
            for n, x in views.density.constrain(position)[0].items():
                record.setdefault(n, []).append(np.asarray(backend.to_numpy(x)))
    return {n: np.stack(x) for n, x in record.items()}


def worst(name: str, kernel: str) -> float:
    steps = STEPS_OF_RODS if name == "rods" else STEPS
    late = {n: x[steps // 2 :] for n, x in drawn(name, kernel, CHAINS, steps).items()}
    return max(abs(z) for z in scores(late, by_quadrature(PLANES[name])).values())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", PLANES)
def test_programs_come_out_as_quadrature_has_them(name: str, kernel: str) -> None:
    assert worst(name, kernel) < SOUND


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow)])
def test_backends_draw_the_same(backend: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    name = "a bound that moves"
    expected, found = (drawn(name, kernel, 5, 3, b) for b in ("numpy", backend))
    assert all(np.allclose(found[n], x, atol=1e-9) for n, x in expected.items())


def test_a_chord_ends_at_straight_walls() -> None:
    """So that all of it is possible: without an energy the first point is taken."""
    graph = graph_of("var x: real(0, 1)[2]\nrequire 2 * x[0] + x[1] <= 1.2\ninfer by hit_and_run")
    views = views_on(graph, "numpy", plan(graph, "numpy"))
    block = views.block(("x",), "hit_and_run")
    held = {"x": np.array([[0.1, 0.3], [0.1, 0.3], [0.5, 0.1]])}
    direction = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, 2.0]])
    first, last = block.chord(held["x"], direction, held)
    assert np.allclose(first, [-0.1, -0.3, -0.05])
    assert np.allclose(last, [0.35, 0.1, 0.05])


def forget_the_height(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any point of a finite energy will do."""
    whole = slicing.Lines.update
    monkeypatch.setattr(
        slicing.Lines,
        "update",
        lambda self, place, energy, width, noise: whole(
            self, place, energy, width, {**noise, "height": 0.0 * noise["height"] + 1e-30}
        ),
    )


def step_out_to_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = slicing.Lines.stepped_out
    monkeypatch.setattr(
        slicing.Lines,
        "stepped_out",
        lambda self, place, height, width, noise: whole(
            self,
            place,
            height,
            width,
            {**noise, "window": 0.0 * noise["window"] + 0.01, "limit": 0.0 * noise["limit"]},
        ),
    )


def never_shrink_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = slicing.Lines.shrunk

    def kept(self: slicing.Lines, place, energy, height, low, high, tries):  # type: ignore[no-untyped-def]
        found = whole(self, place, energy, height, low, high, tries)
        return found._replace(place=np.where(found.place > place, place, found.place))

    monkeypatch.setattr(slicing.Lines, "shrunk", kept)


def go_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("var x: real ~ Normal(0, 1)\ninfer by hit_and_run")
    view = type(views_on(graph, "numpy", plan(graph, "numpy")).block(("x",), "hit_and_run"))
    whole = view.chord
    monkeypatch.setattr(view, "chord", lambda *given: (0.0 * given[1][:, 0], whole(*given)[1]))


MUTANTS = {
    "no height": ("pair", "slice", forget_the_height),
    "intervals to one side": ("an offset", "slice", step_out_to_one_side),
    "only downwards": ("rods", "slice", never_shrink_upwards),
    "lines one way": ("pair", "hit_and_run", go_forwards),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bugs_are_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, kernel, plant = MUTANTS[mutant]
    plant(monkeypatch)
    assert worst(name, kernel) > 2 * SOUND
