"""The coefficients of energies of degree two, found by differences, which are exact for such polynomials.

Elements that no instance of a term reads together share a colour and are moved at once, as the columns of a sparse
Jacobian are (Curtis, Powell and Reid 1974): a term whose instances read k elements takes some k²/2 evaluations, not
d²/2 of d elements. Rounding is kept small by a second look, about the minimum and in steps of its width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose_lang.compiler.analyses.colouring import colour
from compose_lang.compiler.ir.build import HOST
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.quadratic import QuadraticTerm, read_by, size

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MOST_WORK = 3 * 10**8  #: evaluations times the elements of an expression
CHUNK = 4 * 10**6  #: numbers held at once
MOST_PROBED = 4 * 10**7  #: energies kept at once
LOOKS = 5
RESOLVED = 1e-7  #: a curvature is known where it changes an energy by this share of it


@dataclass(frozen=True, eq=False)
class Scope:
    """What the instances of a term read: `colours` many columns, each number in the column of its colour."""

    term: QuadraticTerm
    reads: np.ndarray  #: (instances, colours), -1 where none
    names: tuple[str, ...]
    is_whole: bool  #: whether all elements of the term are one instance


class Probed(NamedTuple):
    """The instances' energies at a centre, and with elements of one or two colours a step away: (…, instances)."""

    rest: np.ndarray
    up: np.ndarray
    down: np.ndarray
    pairs: list[tuple[int, int]]
    both: np.ndarray
    steps: np.ndarray  #: (instances, colours)

    def linear(self, a: int) -> np.ndarray:
        return (self.up[a] - self.down[a]) / (2 * self.steps[:, a])

    def curvature(self, a: int) -> np.ndarray:
        return (self.up[a] + self.down[a] - 2 * self.rest) / self.steps[:, a] ** 2

    def all_mixed(self) -> np.ndarray:
        """`mixed` of all pairs, (pairs, instances)."""
        a, b = np.array(self.pairs).T
        change = self.both - self.up[a] - self.up[b] + self.rest
        return np.asarray(change / (self.steps.T[a] * self.steps.T[b]))

    def mixed(self, k: int) -> np.ndarray:
        a, b = self.pairs[k]
        change = self.both[k] - self.up[a] - self.up[b] + self.rest
        return change / (self.steps[:, a] * self.steps[:, b])


@dataclass(frozen=True, eq=False)
class Expansion:
    """constant + linear · (x - centre) + (x - centre)ᵀ curvature (x - centre) / 2, over all elements."""

    centre: np.ndarray
    constant: float
    linear: np.ndarray
    curvature: csr_array


def scope_of(elements: Elements, term: QuadraticTerm, apart: bool = False) -> Scope | None:
    """What a term reads, coloured; None where it is too much to move one by one.

    apart: whether the polynomials of single elements of the term are asked for, and not only their sum.
    """
    names = tuple(sorted(term.node.variables))
    reads = read_by(term.node, elements.all_numbers(names))
    if reads is None:
        return None
    present, places = np.unique(reads, return_inverse=True)
    places = places.reshape(reads.shape) - (1 if present.size and present[0] == -1 else 0)
    present = present[present >= 0]
    colours = colour(len(present), [places])
    count = int(colours.max(initial=-1)) + 1
    work = (1 + 2 * count + count * (count - 1) // 2) * sum(
        size(n) for n in postorder([term.node]) if n.variables
    )
    if work > MOST_WORK:
        return None
    if count == len(present) and not apart:  # each colour is one number: the elements need not be told apart
        return Scope(term, present[None], names, True)
    if len(reads) * count**2 > MOST_PROBED:
        return None
    by_colour = np.full((len(reads), count), -1)
    rows, columns = np.nonzero(places >= 0)
    held = places[rows, columns]
    by_colour[rows, colours[held]] = present[held]
    return Scope(term, by_colour, names, False)


def expand(elements: Elements, scopes: Sequence[Scope]) -> Expansion:
    """The sum of some terms as a polynomial."""
    centre, steps = np.zeros(elements.count), np.ones(elements.count)
    for _ in range(LOOKS):
        found, noise = look(elements, scopes, centre, steps)
        diagonal = np.abs(found.curvature.diagonal())
        known = diagonal * steps**2 > RESOLVED * noise
        new = np.where(
            known, 1 / np.sqrt(np.where(known, diagonal, 1.0)), np.where(noise > 0, 1e3 * steps, steps)
        )
        moved = minimum(found)
        settled = (
            np.abs(np.log(new / steps)).max(initial=0.0) < 2 and (np.abs(moved - centre) <= 10 * new).all()
        )
        if settled:
            break
        centre, steps = moved, np.minimum(new, 1e12)
    return found


def minimum(found: Expansion) -> np.ndarray:
    """Where an expansion is stationary; its centre where that is not one point."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import MatrixRankWarning, spsolve

    touched = np.flatnonzero(found.curvature.diagonal() > 0)
    if not len(touched):
        return found.centre
    inner = found.curvature[touched][:, touched]
    scale = diags_array(1 / np.sqrt(inner.diagonal()))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixRankWarning)
        shift = scale @ spsolve((scale @ inner @ scale).tocsc(), -(scale @ found.linear[touched]))
    moved = found.centre.copy()
    if np.isfinite(shift).all():
        moved[touched] += shift
    return moved


def look(
    elements: Elements, scopes: Sequence[Scope], centre: np.ndarray, steps: np.ndarray
) -> tuple[Expansion, np.ndarray]:
    """The expansion about a centre by steps in each element, and the largest energy (count,) it was found from."""
    from scipy.sparse import coo_array

    constant, linear = 0.0, np.zeros(elements.count)
    noise = np.zeros(elements.count)
    rows, columns, entries = [], [], []
    for scope in scopes:
        reads, weight = scope.reads, scope.term.weight
        probed = probe(elements, scope, centre, steps)
        constant += weight * float(probed.rest.sum())
        for a in range(reads.shape[1]):
            read = reads[:, a] >= 0
            where = reads[read, a]
            np.add.at(linear, where, weight * probed.linear(a)[read])
            rows.append(where)
            columns.append(where)
            entries.append(weight * probed.curvature(a)[read])
            largest = np.abs([probed.rest, probed.up[a], probed.down[a]]).max(axis=0)[read]
            np.maximum.at(noise, where, abs(weight) * largest)
        first, second = (reads.T[[pair[side] for pair in probed.pairs]] for side in (0, 1))
        if len(probed.pairs):
            both_read = (first >= 0) & (second >= 0)
            mixed = weight * probed.all_mixed()[both_read]
            rows += [first[both_read], second[both_read]]
            columns += [second[both_read], first[both_read]]
            entries += [mixed, mixed]
    shape = (elements.count, elements.count)
    joined = [np.concatenate(x) if x else np.zeros(0, int) for x in (rows, columns)]
    curvature = coo_array((np.concatenate(entries) if entries else np.zeros(0), tuple(joined)), shape=shape)
    return Expansion(centre, constant, linear, curvature.tocsr()), noise


def probe(elements: Elements, scope: Scope, centre: np.ndarray, steps: np.ndarray) -> Probed:
    """A term's instances at a centre, and at steps from it in one or two colours."""
    count = scope.reads.shape[1]
    pairs = [(a, b) for a in range(count) for b in range(a)]
    moves: list[tuple[tuple[int, int], ...]] = [()]
    moves += [((a, 1),) for a in range(count)] + [((a, -1),) for a in range(count)]
    moves += [((a, 1), (b, 1)) for a, b in pairs]
    taken = [scope.reads[scope.reads[:, a] >= 0, a] for a in range(count)]
    energies = np.empty((len(moves), len(scope.reads)))
    at_once = max(1, CHUNK // max(elements.count, size(scope.term.node)))
    for start in range(0, len(moves), at_once):
        chunk = moves[start : start + at_once]
        points = np.broadcast_to(centre, (len(chunk), elements.count)).copy()
        for row, move in zip(points, chunk, strict=True):
            for a, sign in move:
                row[taken[a]] = centre[taken[a]] + sign * steps[taken[a]]
        found = elements_of(scope.term.node, elements, scope.names, points)
        energies[start : start + len(chunk)] = found.sum(axis=1, keepdims=True) if scope.is_whole else found
    rest, up, down, both = np.split(energies, [1, 1 + count, 1 + 2 * count])
    return Probed(rest[0], up, down, pairs, both, np.append(steps, 1.0)[scope.reads])


def elements_of(x: Node, elements: Elements, names: Sequence[str], points: np.ndarray) -> np.ndarray:
    """A node's elements (points, size) at values (points, count) of all sites."""
    values = elements.values(names, points)
    bindings = {id(elements.variables[name].node): array for name, array in values.items()}
    with np.errstate(all="ignore"):
        (result,) = interpret(HOST, [x], bindings)
    full = (len(result), *(a.size for a in x.axes), *x.shape)
    flat: np.ndarray = np.broadcast_to(np.asarray(result), full).reshape((len(result), -1))
    return np.broadcast_to(flat, (len(points), flat.shape[1]))
