"""Foreign code bound to a backend, after it has been held to its declaration: what a part's slot stands for.

Before: a part of method `extern`. After: an object that weighs (compiler/ir/ops/learned.py). At a few random rows it is
tested that energies are numbers, one a row, of that row alone, with gradients, and that no argument is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.arrays import transforms
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned.energy import by_score
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.foreign.code import Code, Layout, RaisedError, called, refuse
from compose_lang.runtime.learned.foreign.library import LIBRARIES, library_of
from compose_lang.runtime.learned.foreign.named import named
from compose_lang.runtime.learned.foreign.pretrained import pretrained

ROWS = 3  #: of the test


@dataclass(frozen=True, eq=False)
class Foreign:
    """Foreign code on a backend: energies of subjects."""

    part: LearnedFactor
    bridge: Any  #: of the code's own library (`Code`), or of another

    def __call__(self, b: Backend, level: Array, subjects: Subjects, inputs: Inputs) -> Array:
        return b.xp.astype(self.bridge.energy(*flat(self.part, level, subjects, inputs)), b.real)

    @property
    def failure(self) -> ComposeError | None:
        """What the code raised in a compiled program, which got NaN instead."""
        return getattr(self.bridge, "failure", None)


class Scores(Foreign):
    """Foreign code that knows ∇E alone, on a backend."""

    def __call__(self, b: Backend, level: Array, subjects: Subjects, inputs: Inputs) -> Array:
        return by_score(b, level, subjects, lambda held: self.gradient(b, level, held, inputs))

    def gradient(self, b: Backend, level: Array, subjects: Subjects, inputs: Inputs) -> list[Array]:
        """∇E in each subject, (n, *shape)."""
        return [b.xp.astype(self.bridge.slope(*flat(self.part, level, subjects, inputs)), b.real)]


def flat(part: LearnedFactor, level: Array, subjects: Subjects, inputs: Inputs) -> tuple[Layout, list[Array]]:
    """The arrays of a call, in order, and how they become one."""
    layout = Layout((*(True for _ in subjects), *(x is not None for x in inputs)), part.has_levels)
    given = [*subjects, *(x for x in inputs if x is not None)]
    return layout, [*given, *([level] if part.has_levels else [])]


BOUND: WeakKeyDictionary[LearnedFactor, dict[tuple[str, str], Foreign]] = WeakKeyDictionary()
"""Bound once for each backend, however many densities a run makes of a program."""


def bind(part: LearnedFactor, b: Backend) -> Foreign:
    """A part's code, found, tested, and ready for a backend: CG0417 and CG0418 where it cannot be."""
    known = BOUND.setdefault(part, {})
    key = (b.name, b.precision)
    if key not in known:
        known[key] = bound(part, b)
    return known[key]


FOUND: WeakKeyDictionary[LearnedFactor, Any] = WeakKeyDictionary()
"""Found once for all backends: what is made anew may begin with other random weights."""


@contextmanager
def plain_floats() -> Iterator[None]:
    """PyTorch's default dtype as foreign code expects it while it is imported and made, not that of a sampler."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def bound(part: LearnedFactor, b: Backend) -> Foreign:
    if part not in FOUND:
        with plain_floats():
            FOUND[part] = named(part) if part.method == "extern" else pretrained(part)
    module = FOUND[part]
    if not part.is_diffusion:
        return Foreign(part, tested(part, b, module))
    return Scores(part, bridged(file_of("torch_code").TorchCode(part, module, "float32"), b))


def tested(part: LearnedFactor, b: Backend, function: Any) -> Any:
    """The code as the first library, and the first dtype, in which it passes."""
    told = part.options.get("library") or library_of(function)
    libraries = [told] if told else sorted(LIBRARIES, key=lambda library: library not in b.libraries)
    failures: dict[str, ComposeError] = {}
    for library in libraries:
        for make in file_of(f"{library}_code").codes(part, function, b.precision):
            try:
                code = make()
                with b.scope():
                    hold(part, code, b)
                    return bridged(code, b)
            except ComposeError as wrong:
                failures.setdefault(library, wrong)
                if not isinstance(wrong, RaisedError):
                    break
    if len(failures) == 1:
        raise next(iter(failures.values()))
    said = [f"as {library} code, {wrong.diagnostics[0].message}" for library, wrong in failures.items()]
    refuse(part, f"works with neither library: {'; '.join(said)}", help='say which: library="torch"')


def file_of(name: str) -> Any:
    """A file of this folder that imports an array library: `torch_code`, `in_jax`."""
    return import_module(f"{__package__}.{name}")


def bridged(code: Any, b: Backend) -> Any:
    """What gives the energies of a library's code to a backend's programs."""
    if code.library in b.libraries and code.is_traceable:
        return code
    for library in LIBRARIES:
        if library in b.libraries:
            return file_of(f"in_{library}").bridge(code, b)
    return OnHost(code, load_backend(code.library, b.precision))


@dataclass(frozen=True)
class OnHost:
    """Code that NumPy calls: values without gradients."""

    code: Code
    own: Backend

    def energy(self, layout: Layout, arrays: Sequence[Any]) -> Any:
        return self.call(self.code.energy, layout, arrays)

    def slope(self, layout: Layout, arrays: Sequence[Any]) -> Any:
        return self.call(self.code.slope, layout, arrays)  # type: ignore[attr-defined]

    def call(self, function: Callable[..., Any], layout: Layout, arrays: Sequence[Any]) -> Any:
        with self.own.scope():
            return self.own.to_numpy(function(layout, [self.own.asarray(x) for x in arrays]))


# --- the test ------------------------------------------------------------------------------------------


def hold(part: LearnedFactor, code: Code, b: Backend) -> None:
    """CG0418 where the code is no factor over its declared subjects."""
    rng = np.random.default_rng(0)
    rows = [values(p, rng, b) for p in part.ports]
    levels = [np.geomspace(0.1, 10.0, ROWS).astype(b.precision)] if part.has_levels else []
    for given in layouts(part):
        layout = Layout(given, part.has_levels)
        arrays = [*(x for x, is_given in zip(rows, given, strict=True) if is_given), *levels]
        energies, gradients = code.trial(layout, arrays)
        if np.isnan(energies).any():
            refuse(
                part,
                "gives NaN",
                help="a type with bounds, like `positive`, keeps values where it is defined",
            )
        if any(np.isnan(g).any() for g in gradients):
            refuse(part, "has a gradient that is NaN", help=called(part))
        alone = [code.trial(layout, [x[k : k + 1] for x in arrays])[0] for k in range(ROWS)]
        size = 1.0 + float(np.abs(energies[np.isfinite(energies)]).max(initial=0.0))
        if not np.allclose(energies, np.concatenate(alone), rtol=0.0, atol=code.close * size):
            text = "gives a row another energy beside other rows than alone: it depends on them, or is random"
            refuse(part, text, help="sums and means go over the axes of a row, not over the first axis")


def layouts(part: LearnedFactor) -> list[tuple[bool, ...]]:
    """Which ports are given: all, and all that must be."""
    every = tuple(True for _ in part.ports)
    needed = tuple(not p.is_optional for p in part.ports)
    return list(dict.fromkeys((every, needed)))


def values(port: Port, rng: np.random.Generator, b: Backend) -> np.ndarray:
    """Random values (ROWS, *shape) of a port's type, as a backend holds them."""
    domain, shape = port.type.domain, (ROWS, *port.type.shape)
    if domain.kind == "bool":
        return rng.random(shape) < 0.5
    if domain.kind == "permutation":
        found = np.tile(np.arange(domain.size), (*shape, 1))
        return rng.permuted(found, axis=-1)
    if domain.is_discrete:
        listed = list(domain.values) if domain.is_finite else list(range(5))
        return np.asarray(listed)[rng.integers(0, len(listed), shape)]
    host = load_backend("numpy")
    u = rng.uniform(-2.0, 2.0, (*shape, *transforms.unconstrained_shape(domain)))
    with host.scope():
        found, _ = transforms.constrain(domain, u, domain.lower, domain.upper, host)
    return np.asarray(found, dtype=b.precision)
