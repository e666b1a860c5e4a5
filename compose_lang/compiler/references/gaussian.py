"""The Gaussian of some energies: their sum as a polynomial, its independent blocks, and mixtures multiplied out.

In: energies of degree two, added up by `expansion`, and choices among such. Out: a `Gaussian`, or None where their sum
has no finite integral, or bounds leave almost nothing of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from compose_lang.compiler.references.blocks import Block, Gaussian, Singles, log_share
from compose_lang.compiler.references.choices import Choice, ChoiceScope, choices_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import Expansion, Scope, elements_of, expand

MOST_IN_BLOCK = 3_000
SINGULAR = 1e-11  #: the least eigenvalue of a correlation matrix, as a share of the largest
AGREES = 1e-6
MOST_TERMS = 64  #: combinations of the parts of mixtures that meet in a block


def gaussian_of(
    elements: Elements,
    scopes: Sequence[Scope],
    mixtures: Sequence[ChoiceScope],
    low: np.ndarray,
    high: np.ndarray,
) -> Gaussian | None:
    """The Gaussian with these energies, each element above `low` and below `high` (count,)."""
    numbers = np.unique(np.concatenate([s.reads.ravel() for s in (*scopes, *(m.scope for m in mixtures))]))
    numbers = numbers[numbers >= 0]
    if not len(numbers) or (low[numbers] >= high[numbers]).any():
        return None
    found = expand(elements, scopes)
    if not np.isfinite(found.constant) or not np.isfinite(found.curvature.data).all():
        return None
    choices = [choices_of(elements, m) for m in mixtures]
    if any(c is None for c in choices):
        return None
    parts = blocks_of(found, numbers, [c for cs in choices for c in cs or ()], low, high)
    return None if parts is None else judged(elements, scopes, found, *parts)


def blocks_of(
    found: Expansion, numbers: np.ndarray, choices: Sequence[Choice], low: np.ndarray, high: np.ndarray
) -> tuple[Singles, list[Block]] | None:
    """Independent blocks of elements; None where a precision is not positive definite, or parts are too many."""
    of_number, count = connected_numbers(found, numbers, choices)
    sizes = np.bincount(of_number, minlength=count)
    if sizes.max() > MOST_IN_BLOCK:
        return None
    meeting: dict[int, list[Choice]] = {}
    for choice in choices:
        if len(choice.numbers):
            meeting.setdefault(int(of_number[np.searchsorted(numbers, choice.numbers[0])]), []).append(choice)
    is_chosen = np.isin(np.arange(count), list(meeting))
    if any(math.prod(len(c.constant) for c in met) > MOST_TERMS for met in meeting.values()):
        return None
    inner = found.curvature[numbers][:, numbers]
    diagonal = inner.diagonal()
    alone = (sizes[of_number] == 1) & ~is_chosen[of_number]
    if (diagonal[alone] <= 0).any():
        return None
    single = numbers[alone]
    sd = 1 / np.sqrt(diagonal[alone])
    mean = found.centre[single] - found.linear[single] * sd**2
    singles = Singles(single, mean, sd, low[single], high[single])
    order = np.argsort(of_number, kind="stable")
    ends = np.cumsum(sizes)
    blocks = []
    for k in np.flatnonzero((sizes > 1) | is_chosen):
        places = order[ends[k] - sizes[k] : ends[k]]
        precision = inner[places][:, places].toarray()
        block = block_of(found, precision, numbers[places], meeting.get(int(k), []), low, high)
        if block is None:
            return None
        blocks.append(block)
    return singles, blocks


def connected_numbers(
    found: Expansion, numbers: np.ndarray, choices: Sequence[Choice]
) -> tuple[np.ndarray, int]:
    """The block of each number: those that a curvature or a choice ties are in one. Returns how many blocks, too."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    inner = found.curvature[numbers][:, numbers].tocoo()
    tied = inner.data != 0
    rows, columns = [inner.row[tied]], [inner.col[tied]]
    for choice in choices:
        at = np.searchsorted(numbers, choice.numbers)
        rows.append(np.repeat(at[:1], len(at)))
        columns.append(at)
    joined = np.concatenate(rows), np.concatenate(columns)
    shape = (len(numbers), len(numbers))
    graph = coo_array((np.ones(len(joined[0]), dtype=np.int8), joined), shape=shape)
    count, of_number = connected_components(graph, directed=False)
    return of_number, int(count)


def block_of(
    found: Expansion,
    precision: np.ndarray,
    numbers: np.ndarray,
    choices: Sequence[Choice],
    low: np.ndarray,
    high: np.ndarray,
) -> Block | None:
    """A block by its energies: each combination of the parts of its choices is a normal; None where one is singular."""
    centre = found.centre[numbers]
    parts = []
    for combination in itertools.product(*(range(len(c.constant)) for c in choices)):
        constant, linear, curvature = 0.0, found.linear[numbers].copy(), precision.copy()
        for choice, j in zip(choices, combination, strict=True):
            at, shift = np.searchsorted(numbers, choice.numbers), found.centre[choice.numbers] - choice.centre
            turned = choice.curvature[j] @ shift
            constant += choice.constant[j] + choice.linear[j] @ shift + 0.5 * shift @ turned
            linear[at] += choice.linear[j] + turned
            curvature[np.ix_(at, at)] += choice.curvature[j]
        part = normal_of(constant, linear, curvature)
        if part is None:
            return None
        parts.append(part)
    if not parts:
        return None
    weights, shifts, roots = zip(*parts, strict=True)
    return Block(
        numbers, np.array(weights), centre + np.array(shifts), np.array(roots), low[numbers], high[numbers]
    )


def normal_of(
    constant: float, linear: np.ndarray, precision: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray] | None:
    """The log of the integral of a polynomial's exponential, its mean and a root of its covariance."""
    from scipy.linalg import solve_triangular

    diagonal = np.diagonal(precision)
    if (diagonal <= 0).any():
        return None
    scale = 1 / np.sqrt(diagonal)
    correlated = precision * scale[:, None] * scale
    eigenvalues = np.linalg.eigvalsh(correlated)
    if eigenvalues[0] < SINGULAR * eigenvalues[-1]:
        return None
    lower = np.linalg.cholesky(correlated)
    root = scale[:, None] * solve_triangular(lower, np.eye(len(scale)), lower=True).T
    whitened = root.T @ linear
    log_det = float(np.log(scale).sum() - np.log(np.diagonal(lower)).sum())
    log_z = -constant + 0.5 * float(whitened @ whitened) + log_det + 0.5 * len(scale) * math.log(2 * math.pi)
    return log_z, -root @ whitened, root


def judged(
    elements: Elements, scopes: Sequence[Scope], found: Expansion, singles: Singles, blocks: Sequence[Block]
) -> Gaussian | None:
    """A Gaussian with its integral; None where bounds leave almost nothing of it, or its energies are not these."""
    rng = np.random.default_rng(2011)
    with np.errstate(all="ignore"):
        log_z = -found.constant + 0.5 * float(
            (found.linear[singles.numbers] * singles.sd) @ (found.linear[singles.numbers] * singles.sd)
        )
        log_z += float((singles.log_mass() + np.log(singles.sd) + 0.5 * math.log(2 * math.pi)).sum())
    log_cut, error = log_share(blocks, rng)
    log_z += sum(block.log_mass for block in blocks) + log_cut
    if not math.isfinite(log_z):
        return None
    gaussian = Gaussian(singles, tuple(blocks), log_z, error, log_cut)
    return gaussian if agrees(elements, scopes, found, gaussian, rng) else None


def agrees(
    elements: Elements,
    scopes: Sequence[Scope],
    found: Expansion,
    gaussian: Gaussian,
    rng: np.random.Generator,
) -> bool:
    """Whether the energies at a few draws are those of the expansion: a guard against what is no polynomial."""
    points = np.broadcast_to(found.centre, (3, elements.count)).copy()
    points[:, gaussian.singles.numbers] = gaussian.singles.mean + gaussian.singles.sd * rng.standard_normal(
        (3, len(gaussian.singles.numbers))
    )
    for b in gaussian.blocks:
        points[:, b.numbers] = b.tries(3, rng)[0]
    moved = points - found.centre
    expected = found.constant + moved @ found.linear + 0.5 * ((moved @ found.curvature) * moved).sum(axis=1)
    energy = sum(
        s.term.weight * elements_of(s.term.node, elements, s.names, points).sum(axis=1) for s in scopes
    )
    return bool((np.abs(energy - expected) <= AGREES * (1 + np.abs(expected))).all())
