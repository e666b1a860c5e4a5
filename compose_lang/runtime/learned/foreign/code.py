"""What foreign code is to a run: a function of one array library from arrays to energies, and how its faults are told.

`jax_code.py` and `torch_code.py` each make a `Code` of a function. Its own library calls it as it is; else it is called
through `in_jax.py` or `in_torch.py`, which pass arrays by dlpack and gradients by a rule of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np

from compose_lang.compiler.graph.learned_factor import NOISE_LEVEL, LearnedFactor
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Array

CLOSE, LOOSE = 1e-6, 1e-4  #: in 64 bits, and in less


class Layout(NamedTuple):
    """How a flat list of arrays becomes a call: which of subjects and inputs are given, and whether a level follows."""

    given: tuple[bool, ...]
    has_level: bool

    def call(self, function: Any, arrays: Sequence[Array]) -> Any:
        """The function at these arrays, None standing for what is not given."""
        rest = iter(arrays)
        arguments = [next(rest) if is_given else None for is_given in self.given]
        return function(*arguments, **({NOISE_LEVEL: next(rest)} if self.has_level else {}))


class Code(Protocol):
    """A foreign function in its own library. Arrays are (n, *shape); those that are floats have gradients."""

    library: str
    part: LearnedFactor
    is_traceable: bool  #: whether its library sees through it: one way through the code whatever the values

    @property
    def close(self) -> float:
        """How far a row's energy may be off beside others, against the largest: sums differ with their order."""
        ...

    def energy(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        """Energies (n,) of rows, differentiable by the library's own means."""
        ...

    def both(self, layout: Layout, arrays: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Energies (n,), and their gradients in each array of floats."""
        ...

    def trial(self, layout: Layout, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """`both` of NumPy arrays; CG0418 also where the code changes them."""
        ...


def refuse(part: LearnedFactor, text: str, help: str = "") -> NoReturn:
    """CG0418 at the declaration, in terms of the user's function."""
    raise ComposeError(Diagnostic("CG0418", f"`{part.source}` {text}", part.span, help=help))


class RaisedError(ComposeError):
    """CG0418 where the user's function raises."""


def raised(part: LearnedFactor, problem: BaseException) -> NoReturn:
    first = (str(problem).strip() or "no message").splitlines()[0]
    text = f"`{part.source}` raises {type(problem).__name__}: {first}"
    raise RaisedError(Diagnostic("CG0418", text, part.span, help=called(part)))


def called(part: LearnedFactor) -> str:
    """How the function is called, in words."""
    shown = [
        f"{p.name} (n, {', '.join(map(str, p.type.full_shape))})".replace(", )", ")") for p in part.ports
    ]
    level = f", {NOISE_LEVEL} (n,)" if part.has_levels else ""
    return f"it is called with batches of n rows, {', '.join(shown)}{level}, and gives n energies"


def result_of(
    part: LearnedFactor, layout: Layout, function: Any, arrays: Sequence[Array], kind: type, what: str
) -> Any:
    """What the user's function gives at arrays; CG0418 where it raises, or gives no array of its library.

    kind: the arrays of the library, in words `what`.
    """
    try:
        result = layout.call(function, arrays)
    except ComposeError:
        raise
    except Exception as problem:
        raised(part, problem)
    if not isinstance(result, kind):
        refuse(part, f"gives {type(result).__name__}, not {what} of energies")
    return result


def require_floats(part: LearnedFactor, dtype: Any, are_floats: bool) -> None:
    """Energies are floats."""
    if not are_floats:
        refuse(part, f"gives {dtype}: energies are floats")


def one_a_row(part: LearnedFactor, result: Array, n: int) -> Array:
    """Energies (n,) of what is (n,) or (n, 1); CG0418 where it has another shape."""
    shape = tuple(result.shape)
    if shape not in ((n,), (n, 1)):
        what = "one number" if shape == () else f"an array of the shape {list(shape)}"
        refuse(part, f"gives {what} for {n} rows: there must be one energy for each", help=called(part))
    return result.reshape((n,))
