"""Where chains start: a position of finite energy, found by trying, and under constraints by searching.

Coordinates start uniform in (-2, 2) on the unconstrained scale, as in Stan; discrete sites uniform over the values
that propagation leaves them. Where hard constraints between discrete sites refuse that, a solver finds what satisfies
them (see `solver`), or proves that nothing does. Where constraints between continuous variables refuse it, their
violations are descended (see `descent`). Where discrete sites still refuse, the search samples a softened program, in
which a constraint costs in proportion to its violation, at a price that rises until all hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.arrays.threefry import threefry
from compose_lang.runtime.chains.descent import descend
from compose_lang.runtime.chains.infeasible import excluded, failing
from compose_lang.runtime.chains.scattering import scattered
from compose_lang.runtime.chains.steps import stepped
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level, softened
from compose_lang.runtime.elimination.solver import Impossible, impossible, solve
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.plan import plan
from compose_lang.runtime.planning.tempering import at_share
from compose_lang.runtime.views.views import views_of

ATTEMPTS = 20
ROUNDS = 40
SWEEPS = 25


def find_start(density: Density, keys: Array, fixed: Position | None = None, level: Level = FULL) -> Position:
    """A position of finite energy for each key; ComposeError CG0502 (exit code 4) or CG0701 where none is found.

    fixed: coordinates (chains, …) of variables that every start has. level: that the energy is finite at.
    """
    backend, fixed = density.backend, fixed or {}
    xp = backend.xp
    evaluate = energy_of(density, level)
    found: Position | None = None
    settled: Array | None = None
    for attempt in range(ATTEMPTS):
        position = scattered(density, keys, attempt, fixed)
        finite = xp.isfinite(evaluate(density.constants, position))
        if found is None or settled is None:
            found, settled = position, finite
        else:
            take = finite & ~settled
            found = {n: select(xp, take, position[n], found[n]) for n in found}
            settled = settled | finite
        if bool(xp.all(settled)):
            return found
    density.require_sound()
    assert found is not None and settled is not None
    placed = solved(density, keys, found, settled, fixed)
    if placed is not None:
        found = placed
        settled = settled | xp.isfinite(evaluate(density.constants, found))
        if bool(xp.all(settled)):
            return found
    proof = excluded(density.graph)
    if proof is not None:
        raise impossible(proof)
    if is_descended(density):
        nearest = descend(density, keys, level, fixed, found)
        take = ~settled
        found = {n: select(xp, take, nearest[n], found[n]) for n in found}
        settled = settled | xp.isfinite(evaluate(density.constants, found))
        if bool(xp.all(settled)):
            return found
    if is_searched(density):
        for is_placed in (True, False) if placed is not None else (False,):
            searched = search(density, keys, found, level, is_placed)
            take = xp.isfinite(evaluate(density.constants, searched)) & ~settled
            found = {n: select(xp, take, searched[n], found[n]) for n in found}
            settled = settled | take
            if bool(xp.all(settled)):
                return found
    raise refused(density, found)


def required(density: Density) -> list[FactorGroup]:
    """The hard constraints that tell how far they are from holding."""
    return [g for g in density.graph.groups if g.violation is not None and g.kind == "require"]


def is_descended(density: Density) -> bool:
    """Whether violations have a slope, and the backend gives it."""
    moving = {v.name for v in density.graph.variables if v.free_sites and not v.is_discrete}
    return density.backend.has_gradient and any(g.variables & moving for g in required(density))


def is_searched(density: Density) -> bool:
    """Whether a constraint may ask for what descent does not change: discrete sites."""
    free = {v.name for v in density.graph.variables if v.free_sites}
    moving = {name for g in required(density) for name in g.variables & free}
    return any(density.variables[n].is_discrete or not density.backend.has_gradient for n in moving)


def energy_of(density: Density, level: Level) -> Any:
    """The energy as a function of constants and position, compiled where that is cheap."""

    def energy(constants: Any, position: Position) -> Array:
        return density.with_constants(constants).energy(position, level)

    if not density.backend.compiles_whole:
        return energy
    if level is not FULL:
        return density.backend.compile(energy)
    return density.programs.setdefault(energy_of, density.backend.compile(energy))


def select(xp: Any, take: Array, new: Array, old: Array) -> Array:
    return xp.where(take.reshape((-1, *(1,) * (new.ndim - 1))), new, old)


def solved(
    density: Density, keys: Array, found: Position, settled: Array, fixed: Position
) -> Position | None:
    """The positions with discrete sites where hard constraints between them hold, in chains not settled before.

    None where there are none, or the solver has no answer. Raises CG0502 where nothing satisfies them.
    """
    backend, hard = density.backend, density.graph.fact(HardConstraints)
    if hard is None or not hard.relations:
        return None
    chains = np.flatnonzero(~backend.to_numpy(settled))
    answer = solve(hard, backend.to_numpy(keys)[chains, 0].astype(np.int64) % 2**31)
    if answer is None:
        return None
    if isinstance(answer, Impossible):
        raise impossible(answer)
    position = dict(found)
    for v in hard.numbering.variables:
        if v.name in fixed or v.name not in position:
            continue
        chosen = answer[:, hard.numbering.of(v)][:, v.free.reshape(-1)]
        values = np.array(backend.to_numpy(position[v.name]))
        values[chains] = np.array(v.support.values)[chosen]
        position[v.name] = backend.asarray(values, backend.integer)
    return position


def search(density: Density, keys: Array, start: Position, level: Level, is_placed: bool) -> Position:
    """Sample the softened program at a rising price until the constraints hold in every chain.

    is_placed: whether discrete sites stay where a solver placed them.
    """
    backend, xp = density.backend, density.backend.xp
    soft = Density(softened(density.graph), backend, density.weights)
    views = views_of(soft, searched_blocks(density, is_placed), is_steady=False)
    if not views.blocks:
        return start
    own_keys = [searching_keys(keys, place, backend) for place in range(len(views.blocks))]

    def sweep(constants: Any, price: Array, position: Position, states: Any, t: Any) -> tuple[Position, Any]:
        kernels = views.on(constants).kernels(ROUNDS * SWEEPS, level._replace(price=price))
        position, states, _ = stepped(kernels, own_keys, position, states, t, backend)
        return position, states

    def round_of(
        constants: Any, price: Array, position: Position, states: Any, t: Any
    ) -> tuple[Position, Any]:
        return backend.loop(
            0, SWEEPS, lambda i, c: sweep(constants, price, c[0], c[1], t + i), (position, states)
        )

    advance = backend.compile(round_of) if backend.compiles_whole else round_of
    evaluate = energy_of(density, level)
    first = level._replace(price=backend.asarray([1.0], backend.real))
    states: Any = tuple(k.init(start, keys) for k in views.kernels(ROUNDS * SWEEPS, first))
    position = best = start
    done = xp.isfinite(evaluate(density.constants, start))
    for number in range(ROUNDS):
        price = backend.asarray([0.5 * 1.25**number], backend.real)
        position, states = advance(views.constants, price, position, states, number * SWEEPS)
        finite = xp.isfinite(evaluate(density.constants, position))
        take = finite & ~done
        best = {n: select(xp, take, position[n], best[n]) for n in best}
        done = done | finite
        if bool(xp.all(done)):
            break
    return best


def searching_keys(keys: Array, place: int, backend: Backend) -> Array:
    """The keys (chains, 2) of a block's steps in a search."""
    counter = backend.asarray([[place]], backend.word), backend.asarray([[7]], backend.word)
    return backend.xp.concat(list(threefry((keys[:, :1], keys[:, 1:]), counter)), axis=1)


def searched_blocks(density: Density, is_placed: bool) -> list[Block]:
    """What moves in a search: site by site what is discrete, unless it is placed, and all that is continuous."""
    blocks = []
    for b in plan(density.graph, density.backend.name, (), exactly=False).blocks:
        is_discrete = density.variables[b.variables[0]].is_discrete
        if load_kernel(b.kernel).view != "sites" or (is_discrete and is_placed):
            continue
        blocks.append(Block(b.variables, at_share(b).kernel))
    return blocks


def refused(density: Density, position: Position) -> ComposeError:
    """Why no start was found: the constraints that fail, or the factors whose energy is not finite."""
    proof = excluded(density.graph)
    if proof is not None:
        return impossible(proof)
    values, _ = density.constrain(position)
    backend = density.backend
    energies = density.group_energies(density.graph.groups, values)
    broken: list[Diagnostic] = []
    wrong: list[Diagnostic] = []
    for g, e in zip(density.graph.groups, energies, strict=True):
        array = np.asarray(backend.to_numpy(e))
        if np.isnan(array).any():
            text = f"the energy is not a number at the start: {g.label}"
            wrong.append(
                Diagnostic(
                    "CG0701", text, g.span, help="look for a log or sqrt of a negative number, or 0 / 0"
                )
            )
        elif not np.isfinite(array).all() and g.kind == "require":
            text = f"no point was found that satisfies the constraints: `{g.label}` still fails"
            broken.append(Diagnostic("CG0502", text, g.span))
        elif not np.isfinite(array).all():
            text = f"the energy is infinite wherever a chain tried to start: {g.label}"
            help = "declare variables with the bounds their factors need, as in `var s: positive`"
            wrong.append(Diagnostic("CG0701", text, g.span, help=help))
    if broken and not any(np.isnan(backend.to_numpy(e)).any() for e in energies):
        held = {name: np.asarray(backend.to_numpy(array)) for name, array in values.items()}
        return ComposeError(failing(density.graph, held) or broken, exit_code=4)
    if wrong:
        return ComposeError(wrong)
    return ComposeError(Diagnostic("CG0701", "the energy is not finite wherever a chain tried to start"))
