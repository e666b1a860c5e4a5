"""Energies that are polynomials of degree two in real variables: found by their degrees, node by node.

In: a factor group. Out: its `Quadratic`, whose terms add up to the energy of all its instances, inside bounds on
single elements; None where it is no such polynomial, or not plainly so. After: `expansion`, which finds the
coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.ir.build import HOST
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of

SLOW = 2_000  #: numbers that SciPy computes in the time that others take for one
MOST_READ = 5 * 10**6  #: elements that the instances of a term read


@dataclass(frozen=True, eq=False)
class QuadraticTerm:
    """A part of an energy: `weight` times the sum of all elements of `node`, each of degree two at most."""

    node: Node
    weight: float


@dataclass(frozen=True, eq=False)
class MixtureTerm:
    """A part of an energy: minus the sum of log Σ exp along an axis of `logs`, whose elements have degree two."""

    logs: Node
    axis: int  #: among the axes and the shape of `logs`, in this order


@dataclass(frozen=True, eq=False)
class Bound:
    """What a condition says, affine in variables: `left` is below or above `right`."""

    left: Node
    right: Node
    is_lower: bool


@dataclass(frozen=True, eq=False)
class Quadratic:
    """An energy inside bounds, infinite outside: terms of degree two, and mixtures of exponentials of such."""

    terms: tuple[QuadraticTerm, ...]
    mixtures: tuple[MixtureTerm, ...]
    bounds: tuple[Bound, ...]


def quadratic_of(group: FactorGroup, reals: frozenset[str]) -> Quadratic | None:
    """A group's energy as polynomials of degree two in the variables `reals`; None where it is none of these alone."""
    energy, bounds = inside_bounds(group.energy)
    if bounds is None or not group.variables or not group.variables <= reals:
        return None
    repeats = math.prod(a.size for a in group.axes if a not in energy.axes)
    degrees = degrees_of([energy])
    terms, mixtures = [], []
    for term in summands(energy, float(repeats)):
        mixture = mixture_of(term) if degrees[id(term.node)] > 2 else None
        if degrees[id(term.node)] <= 2:
            terms.append(term)
        elif mixture is not None and degrees[id(mixture.logs)] <= 2:
            mixtures.append(mixture)
        else:
            return None
    return Quadratic(tuple(terms), tuple(mixtures), bounds)


def mixture_of(term: QuadraticTerm) -> MixtureTerm | None:
    """A term that is minus a log-sum-exp, counted once."""
    x = term.node
    if term.weight != -1:
        return None
    if x.op == "logsumexp":
        logs = x.args[0]
        return MixtureTerm(logs, len(logs.axes) + len(logs.shape) + x.attrs[0])
    if x.op == "reduce_axis" and x.attrs[0] == "logsumexp":
        return MixtureTerm(x.args[0], x.args[0].axes.index(x.attrs[1]))
    return None


def inside_bounds(energy: Node) -> tuple[Node, tuple[Bound, ...] | None]:
    """An energy without the bounds on single elements outside which it is infinite; None where there are others."""
    if energy.op != "where" or energy.args[0].is_const:
        return energy, ()
    condition, inside, outside = energy.args
    bounds = bounds_in(condition)
    is_infinite = outside.value is not None and bool((outside.value == np.inf).all())
    if not is_infinite or bounds is None:
        return energy, None
    inner, more = inside_bounds(inside)
    return inner, None if more is None else (*bounds, *more)


def bounds_in(condition: Node) -> tuple[Bound, ...] | None:
    """A condition as bounds on elements that must all hold; None where it is not that."""
    if condition.op == "and":
        parts = [bounds_in(part) for part in condition.args]
        return None if any(p is None for p in parts) else tuple(b for p in parts for b in p or ())
    if condition.op == "all" or (condition.op == "reduce_axis" and condition.attrs[0] == "all"):
        return bounds_in(condition.args[0])
    comparison = op_of(condition).comparison
    if comparison is None or comparison.lower == comparison.upper:
        return None
    left, right = condition.args
    is_lower = comparison.lower
    if left.is_const:
        left, right, is_lower = right, left, not is_lower
    degrees = degrees_of(condition.args)
    return (Bound(left, right, is_lower),) if max(degrees[id(left)], degrees[id(right)]) <= 1 else None


def degrees_of(roots: Iterable[Node]) -> dict[int, float]:
    """The degree of each node below roots as a polynomial in the variables, by its id; infinite where it is none."""
    degrees: dict[int, float] = {}
    for n in postorder(roots):
        degrees[id(n)] = degree(n, [degrees[id(a)] for a in n.args])
    return degrees


def degree(n: Node, of_args: Sequence[float]) -> float:
    """The degree of a node whose arguments have these degrees."""
    if n.is_const:
        return 0
    if not n.args:
        return 1 if n.op == "var" and n.dtype == "real" else math.inf
    moving = [d > 0 for d in of_args]
    if not any(moving):
        return 0
    op = op_of(n)
    if op.linear is not None and op.linear(n, moving):
        return max(of_args)
    return math.inf if op.degree is None else op.degree(n, of_args)


def summands(x: Node, weight: float) -> Iterator[QuadraticTerm]:
    """Terms whose elements add up to `weight` times the sum of all elements of x, each reading as little as may be."""
    parts = addends(x)
    if parts is None or not size(x):
        yield QuadraticTerm(x, weight)
        return
    for part, sign in parts:
        yield from summands(part, sign * weight * size(x) / size(part))


def addends(x: Node) -> list[tuple[Node, float]] | None:
    """What the sum of all elements of x is the sum of, each with its weight an element of x; None where x is no sum."""
    match x.op:
        case "add":
            return [(a, 1.0) for a in x.args]
        case "sub":
            return [(x.args[0], 1.0), (x.args[1], -1.0)]
        case "neg":
            return [(x.args[0], -1.0)]
        case "mul" if any(a.is_static_scalar for a in x.args):
            number, other = x.args if x.args[0].is_static_scalar else x.args[::-1]
            return [(other, float(number.item()))]
        case "div" if x.args[1].is_static_scalar and x.args[1].item() != 0:
            return [(x.args[0], 1.0 / float(x.args[1].item()))]
        case "mean":
            return [(x.args[0], 1.0)] if size(x.args[0]) else None
        case "sum":
            return [(x.args[0], size(x.args[0]) / size(x))] if size(x.args[0]) else None
        case "reduce_axis" if x.attrs[0] == "sum":
            return [(x.args[0], float(x.attrs[1].size))] if size(x.args[0]) else None
    return None


def size(x: Node) -> int:
    return math.prod(a.size for a in x.axes) * math.prod(x.shape)


def work(nodes: Iterable[Node]) -> int:
    """How many numbers it takes to compute what stands below some nodes once; slow ones count as many."""
    return sum(size(n) * (SLOW if op_of(n).on_host else 1) for n in postorder(nodes) if not n.is_const)


# --- what each element of a node reads ---


def read_by(x: Node, numbers: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The variables' elements that each element of a node reads, (size, k); -1 stands for none.

    numbers: those of the elements of each variable, (*shape,). None where they are too many to list.
    """
    reads: dict[int, np.ndarray] = {}
    for n in postorder([x]):
        if n.op == "var":
            reads[id(n)] = numbers[n.attrs[0]][None].astype(np.int64)
        elif n.is_const or not n.args:
            reads[id(n)] = np.full((0, *(1,) * (len(n.axes) + len(n.shape))), -1)
        else:
            found = read_through(n, [reads[id(a)] for a in n.args])
            if found is None:
                return None
            reads[id(n)] = found
    full = (*(a.size for a in x.axes), *x.shape)
    columns = reads[id(x)]
    if len(columns) * size(x) > MOST_READ:
        return None
    rows: np.ndarray = np.broadcast_to(columns, (len(columns), *full)).reshape((len(columns), size(x))).T
    return rows


def read_through(n: Node, of_args: Sequence[np.ndarray]) -> np.ndarray | None:
    """What each element of a node reads, (k, *axes, *shape), given what those of its arguments do."""
    op = op_of(n)
    most = max(map(len, of_args))
    if not most:
        return np.full((0, *(1,) * (len(n.axes) + len(n.shape))), -1)
    if op.joins:
        padded = [np.full((most, *filled(c, a).shape[1:]), -1) for c, a in zip(of_args, n.args, strict=True)]
        for whole, columns, arg in zip(padded, of_args, n.args, strict=True):
            whole[: len(columns)] = filled(columns, arg)
        return np.asarray(op.run(HOST, n, list(padded)))
    if op.selects and all(a.is_const for a in n.args[1:]):
        indices = [a.value[None] for a in n.args[1:] if a.value is not None]
        return np.asarray(op.run(HOST, n, [filled(of_args[0], n.args[0]), *indices]))
    parts = []
    for arg, columns in zip(n.args, of_args, strict=True):
        if not len(columns):
            continue
        part = aligned(n, arg, columns)
        if part is None or part.shape[0] * size(n) > MOST_READ:
            return None
        parts.append(part)
    shape = np.broadcast_shapes(*(p.shape[1:] for p in parts))
    return np.concatenate([np.broadcast_to(p, (len(p), *shape)) for p in parts])


def filled(columns: np.ndarray, of: Node) -> np.ndarray:
    """Columns (k, *axes, *shape) at the node's full axes and shape."""
    return np.broadcast_to(columns, (len(columns), *(a.size for a in of.axes), *of.shape))


def aligned(n: Node, arg: Node, columns: np.ndarray) -> np.ndarray | None:
    """What an argument reads as it broadcasts to a node; where its elements are combined, each may read them all."""
    columns = filled(columns, arg)
    axes, shape = list(arg.axes), list(arg.shape)
    ended = [a for a in axes if a not in n.axes]
    for axis in ended:
        place = 1 + axes.index(axis)
        columns = np.moveaxis(columns, place, 0).reshape((-1, *np.delete(columns.shape, [0, place])))
        axes.remove(axis)
    if not op_of(n).elementwise and shape:
        lead = 1 + len(axes)
        flat = np.moveaxis(columns.reshape((*columns.shape[:lead], -1)), -1, 0)
        columns = flat.reshape((-1, *flat.shape[2:]))
        shape = []
    sizes = iter(columns.shape[1 : 1 + len(axes)])
    middle = [next(sizes) if a in axes else 1 for a in n.axes]
    pad = [1] * (len(n.shape) - len(shape))
    return columns.reshape((len(columns), *middle, *pad, *columns.shape[1 + len(axes) :]))
