"""Where chains start: a position of finite energy, found by trying, and under constraints by searching.

Coordinates start uniform in (-2, 2) on the unconstrained scale, as in Stan; discrete sites uniform over the values
that propagation leaves them. Where hard constraints between discrete sites refuse that, a solver finds what satisfies
them (see `solver`), or proves that nothing does. Where others still refuse, the search samples a softened program, in
which a constraint costs in proportion to its violation, at a price that rises until all hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.ir.build import constant, node, slot
from compose_lang.diagnostics import ComposeError, Diagnostic, Label
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.arrays.threefry import threefry
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.solver import Impossible, solve
from compose_lang.runtime.kernels.common.kernel import Position

if TYPE_CHECKING:
    from compose_lang.runtime.density.density import Density

ATTEMPTS = 20
ROUNDS = 40
SWEEPS = 25


def find_start(density: Density, keys: Array) -> Position:
    """A position of finite energy for each key; ComposeError CG0502 (exit code 4) or CG0701 where none is found."""
    backend = density.backend
    xp = backend.xp
    evaluate = energy_of(density)
    found: Position | None = None
    settled: Array | None = None
    for attempt in range(ATTEMPTS):
        position = scattered(density, keys, attempt)
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
    placed = solved(density, keys, found, settled)
    if placed is not None:
        found = placed
        settled = settled | xp.isfinite(evaluate(density.constants, found))
        if bool(xp.all(settled)):
            return found
    if any(g.violation is not None and g.kind == "require" for g in density.graph.groups):
        for is_placed in (True, False) if placed is not None else (False,):
            searched = search(density, keys, found, is_placed)
            take = xp.isfinite(evaluate(density.constants, searched)) & ~settled
            found = {n: select(xp, take, searched[n], found[n]) for n in found}
            settled = settled | take
            if bool(xp.all(settled)):
                return found
    raise refused(density, found)


def energy_of(density: Density) -> Any:
    """The energy as a function of constants and position, compiled where that is cheap."""

    def energy(constants: Any, position: Position) -> Array:
        return density.with_constants(constants).energy(position)

    return density.backend.compile(energy) if density.backend.whole_programs else energy


def select(xp: Any, take: Array, new: Array, old: Array) -> Array:
    return xp.where(take.reshape((-1, *(1,) * (new.ndim - 1))), new, old)


def scattered(density: Density, keys: Array, attempt: int) -> Position:
    """Random positions, a different one for each attempt; spread less as attempts fail."""
    from compose_lang.runtime.arrays.transforms import unconstrained_shape

    shapes = {}
    for v in density.graph.variables:
        if v.free_sites:
            event = v.type.domain.event_shape if v.is_discrete else unconstrained_shape(v.type.domain)
            shapes[v.name] = (v.free_sites, *event)
    specs = {name: NoiseSpec("uniform", shape) for name, shape in shapes.items()}
    # By NumPy, which has the same bits: JAX would compile each of these operations by itself.
    backend, plain = density.backend, load_backend("numpy", density.backend.precision)
    drawn = noise.draw(specs, plain.asarray(backend.to_numpy(keys), plain.word), np.asarray(attempt), plain)
    position: Position = dict(density.held)
    width = 2.0 * 0.8**attempt
    for v in density.graph.variables:
        if not v.free_sites or v.name in density.held:
            continue
        uniform = drawn[v.name]
        if not v.is_discrete:
            position[v.name] = backend.asarray((2.0 * uniform - 1.0) * width, backend.real)
            continue
        domain = v.support
        if domain.kind == "permutation":
            position[v.name] = backend.asarray(np.argsort(uniform, axis=-1), backend.integer)
            continue
        if domain.is_finite:
            values = domain.values
        else:
            low = (
                domain.lower
                if np.isfinite(domain.lower)
                else min(0, domain.upper - 4)
                if np.isfinite(domain.upper)
                else 0
            )
            values = range(int(low), int(low) + 5)
        place = np.clip(np.floor(uniform * len(values)).astype(np.int64), 0, len(values) - 1)
        if v.allowed is not None:
            place = among_allowed(v.allowed, uniform)
        position[v.name] = backend.asarray(values.start + values.step * place, backend.integer)
    return position


def among_allowed(allowed: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The number of one of the values that each site may have (sites, K), by uniforms (chains, sites)."""
    counts = allowed.sum(axis=1)
    nth = np.clip(np.floor(uniform * counts).astype(np.int64), 0, counts - 1)
    order = np.argsort(~allowed, axis=1, kind="stable")
    return order[np.arange(len(allowed)), nth]


def solved(density: Density, keys: Array, found: Position, settled: Array) -> Position | None:
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
        if v.name in density.held or v.name not in position:
            continue
        chosen = answer[:, hard.numbering.of(v)][:, v.free.reshape(-1)]
        values = np.array(backend.to_numpy(position[v.name]))
        values[chains] = np.array(v.support.values)[chosen]
        position[v.name] = backend.asarray(values, backend.integer)
    return position


def impossible(proof: Impossible) -> ComposeError:
    """CG0502 for constraints that are proved to exclude each other."""
    first, *others = proof.groups
    rest = ", ".join(f"`{g.label}`" for g in others)
    text = f"no point satisfies the constraints: `{first.label}` "
    text += f"cannot hold together with {rest}" if others else "cannot hold"
    labels = tuple(Label(g.span, "one of them") for g in others if g.span != first.span)
    remedy = "leave one out, or weaken it to a `prefer`" if others else "its instances exclude each other"
    help = f"this is proved, not only searched: {remedy}"
    return ComposeError(Diagnostic("CG0502", text, first.span, labels=labels, help=help), exit_code=4)


def search(density: Density, keys: Array, start: Position, is_placed: bool) -> Position:
    """Sample the softened program at a rising price until the constraints hold in every chain.

    is_placed: whether discrete sites stay where a solver placed them.
    """
    from compose_lang.runtime.density.density import Density
    from compose_lang.runtime.kernels import load_kernel
    from compose_lang.runtime.planning.block import Block
    from compose_lang.runtime.planning.plan import Plan, plan

    backend = density.backend
    xp = backend.xp
    price = slot("price")
    groups = [softened(g, price) for g in density.graph.groups]
    gradients = backend.name != "numpy"
    blocks = []
    for b in plan(density.graph, backend.name, (), exactly=False).blocks:
        is_discrete = density.variables[b.variables[0]].is_discrete
        if load_kernel(b.kernel).view != "sites" or (is_discrete and is_placed):
            continue
        if is_discrete:
            blocks.append(Block(b.variables, b.kernel))
        else:
            blocks.append(Block(b.variables, "hmc" if gradients else "mh"))
    if not blocks:
        return start
    soft = Density(
        replace(density.graph, groups=tuple(groups)), Plan(tuple(blocks)), backend, density.learned
    )
    soft.steady = False
    warmup = ROUNDS * SWEEPS

    def bound(constants: Any, level: Array) -> tuple[Density, list[Any]]:
        here = soft.with_constants(constants)
        base = here.bindings
        here.bindings = lambda values: {**base(values), id(price): level}  # type: ignore[method-assign]
        made = [
            load_kernel(b.kernel).bind(here.block(b.variables, b.kernel), backend, {}, warmup) for b in blocks
        ]
        return here, made

    def sweep(constants: Any, level: Array, position: Position, states: Any, t: Any) -> tuple[Position, Any]:
        _, kernels = bound(constants, level)
        after = []
        for place, (kernel, state) in enumerate(zip(kernels, states, strict=True)):
            own = threefry(
                (keys[:, :1], keys[:, 1:]),
                (backend.asarray([[place]], backend.word), backend.asarray([[7]], backend.word)),
            )
            own_keys = xp.concat(list(own), axis=1)
            drawn = noise.draw(kernel.noise, own_keys, t, backend)
            position, state, _ = kernel.step(position, state, drawn, t)
            after.append(state)
        return position, tuple(after)

    def round_of(
        constants: Any, level: Array, position: Position, states: Any, t: Any
    ) -> tuple[Position, Any]:
        return backend.loop(
            0, SWEEPS, lambda i, c: sweep(constants, level, c[0], c[1], t + i), (position, states)
        )

    advance = backend.compile(round_of) if backend.whole_programs else round_of
    evaluate = energy_of(density)
    position = start
    _, kernels = bound(soft.constants, backend.asarray([1.0], backend.real))
    states: Any = tuple(k.init(position, keys) for k in kernels)
    best = start
    done = xp.isfinite(evaluate(density.constants, start))
    for level in range(ROUNDS):
        value = backend.asarray([0.5 * 1.25**level], backend.real)
        position, states = advance(soft.constants, value, position, states, level * SWEEPS)
        finite = xp.isfinite(evaluate(density.constants, position))
        take = finite & ~done
        best = {n: select(xp, take, position[n], best[n]) for n in best}
        done = done | finite
        if bool(xp.all(done)):
            break
    return best


def softened(g: FactorGroup, price: Any) -> FactorGroup:
    """The group with a hard constraint made a price per unit of violation, and one for being violated at all."""
    if g.kind != "require" or g.violation is None:
        return g
    some = node("where", node("gt", g.violation, constant(0.0)), constant(0.1), constant(0.0))
    cost = node("mul", price, node("add", node("mul", g.violation, constant(3.0)), some))
    return replace(g, energy=cost)


def refused(density: Density, position: Position) -> ComposeError:
    """Why no start was found: the constraints that fail, or the factors whose energy is not finite."""
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
    if broken and not any("not a number" in d.message for d in wrong):
        return ComposeError(broken, exit_code=4)
    if wrong:
        return ComposeError(wrong)
    return ComposeError(Diagnostic("CG0701", "the energy is not finite wherever a chain tried to start"))
