"""What all samplers along levels of noise share: levels, keys, the start at the noisiest, what is kept of a position.

In: a program seen from its levels (`field`), the plan's other blocks, the levels. Out: a base for `population`, whose
particles walk the levels together, and for `replicas`, which stay at one level each and exchange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.analyses.noise_levels import Anneal, learned_below
from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.annealing import softening
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.chains.recording import CHUNK_DRAWS, as_stored, packed, stored_types, unpacked
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.chains.steps import keys_of
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.planning.levels import Annealing
from compose_lang.runtime.planning.moves import MOVES
from compose_lang.runtime.views.views import Views

START_STREAM, MOVE_STREAM, SHARED_STREAM, BLOCK_STREAM = 10_000, 10_001, 10_002, 10_100
MOST_PARTICLES = 10**6

Batch = TypeVar("Batch", bound=tuple[Any, ...])


class Levelled:
    """A program on its levels, and `particles` places a chain that are moved together."""

    def __init__(
        self,
        field: Field,
        annealing: Annealing,
        views: Views,
        schedule: Schedule,
        *,
        seed: int,
        particles: int,
        keep: Sequence[str],
        whole: Density,
        warmup: int,
    ) -> None:
        self.field = field
        self.density = field.density
        self.annealing = annealing
        self.views = views  #: of the variables that no level moves
        self.backend: Backend = field.density.backend
        self.seed = seed
        self.particles = particles
        self.schedule = schedule
        self.whole = whole  #: the density of the program as written, observed elements and all
        self.warmup = warmup
        self.move = MOVES[annealing.move]
        self.capacity = CHUNK_DRAWS
        self.stored = stored_types(whole.columns, keep)
        self.count = len(schedule.levels)

    def failing(self, batch: Any, chain: int) -> list[str]:
        """What to name where a chain has died."""
        return [g.label for g in (*self.field.anneal.tempered, *self.field.anneal.families)]

    def pack(self, batch: tuple[Any, ...]) -> dict[str, NDArray[Any]]:
        return packed(tuple(batch), self.backend)

    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: Batch) -> Batch:
        with self.backend.scope():
            return type(like)(*unpacked(arrays, tuple(like), self.backend))

    # --- the start ---

    def _noisiest(self, numbers: NDArray[Any]) -> tuple[Position, Array, Array]:
        """Positions where the noisiest level nearly is a Gaussian, the normal (n, D) they are drawn by, its spread."""
        b = self.backend
        self._settle()
        position = start_of_others(self.field, self._keys(numbers, START_STREAM), self._at(0))
        block, keys = self.field.block, self._keys(numbers, MOVE_STREAM)
        normal = noise.draw({"normal": NoiseSpec("normal", (block.size,))}, keys, b.asarray(-1), b)["normal"]
        mean, spread, _ = self._gaussian(position)
        return block.unravel(position, mean + spread * normal), normal, spread

    def _kernel_states(self, position: Position, numbers: NDArray[Any], level: Array) -> Tree:
        return tuple(
            kernel.init(position, self._keys(numbers, BLOCK_STREAM + 2 * k))
            for k, kernel in enumerate(self.views.kernels(self.warmup, Level(level)))
        )

    def _gaussian(self, position: Position) -> tuple[Array, Array, Array]:
        """Mean and standard deviation (n, D) of the noisiest level, which is nearly a Gaussian of independent parts.

        Its gradient is linear, so two values of it tell both; where powers add up to nothing there is no density.
        Last, which coordinates (D,) no noised density holds: they are loose, and begin in a Gaussian about 0.
        """
        xp, b = self.backend.xp, self.backend
        level, far = self._at(0), self.field.softening.coarsest
        slope = b.value_and_grad(lambda w: self.field.noised(w, position, level))
        zero = xp.zeros_like(self.field.block.ravel(position))
        at_zero, at_far = slope(zero)[1], slope(zero + far)[1]
        loose = xp.all((at_zero == 0.0) & (at_far == 0.0), axis=0)
        precision = xp.where(loose, xp.ones_like(zero) / far**2, (at_far - at_zero) / far)
        if not bool(xp.all(precision > 0.0)):
            text = "at the coarsest noise the composition is no density: its exponents sum to 0 or less"
            help = "`P / Q` needs more of P than of Q; contrast(P, Q) is bounded"
            flows = self.field.anneal.flows
            raise ComposeError(Diagnostic("CG0404", text, flows[0].group.span if flows else None, help=help))
        return -at_zero / precision, 1.0 / xp.sqrt(precision), loose

    def _settle(self) -> None:
        """Measure, once, the terms that come in as the noise goes, where the data lie; whichever chain starts first."""
        b, field, spread = self.backend, self.field, self.schedule.scale
        if field.softening.curvatures is not None:
            return
        n = softening.PROBES
        position = start_of_others(field, self._keys(np.arange(n), START_STREAM), self._at(0))
        mean, _, loose = self._gaussian(position)
        rng = np.random.default_rng(0)
        points = np.asarray(b.to_numpy(mean)) + spread * rng.standard_normal((n, field.block.size))
        signs = rng.choice([-1.0, 1.0], points.shape)
        level = b.asarray(self.schedule.levels[-1:], b.real)

        def slope(number: int, x: NDArray[Any]) -> NDArray[Any]:
            force = b.value_and_grad(lambda w: field.tempered(number, w, position, level))
            return np.asarray(b.to_numpy(force(b.asarray(x, b.real))[1]))

        moved = points + softening.STRIDE * spread * signs
        gradients = [(slope(k, points), slope(k, moved)) for k in range(len(field.anneal.tempered))]
        curvatures, slopes = softening.measured(gradients, signs, spread)
        held = np.asarray(b.to_numpy(loose)).astype(np.float64)
        settled = replace(
            field.softening, curvatures=curvatures, slopes=slopes, loose=held if held.any() else None
        )
        self.field = replace(field, softening=settled)

    # --- levels, keys, kernels ---

    def _at(self, k: Any) -> Array:
        """The noise (1,) of level number k."""
        if isinstance(k, int):
            return self.backend.asarray(self.schedule.levels[k : k + 1], self.backend.real)
        return self._levels[k.reshape((1,))]

    @property
    def _levels(self) -> Array:
        """The noise (K,) of every level: made anew each time, for a traced one must not be kept."""
        return self.backend.asarray(self.schedule.levels, self.backend.real)

    def field_with(self, constants: Tree) -> Field:
        return replace(self.field, density=self.density.with_constants(constants["density"]))

    def _keys(self, numbers: NDArray[Any], stream: int) -> Array:
        return keys_of(self.seed, numbers, stream, self.backend)

    # --- what comes out ---

    def _kept(self, position: Position) -> dict[str, Array]:
        """What is kept of a position (n, …), in the types it is stored in."""
        xp, b = self.backend.xp, self.backend
        whole, _ = self.density.constrain(position)
        values = {name: array for name, array in whole.items() if name in self.whole.variables}
        for v in self.whole.graph.variables:  # what was observed is exact
            if v.name in values and not v.free.all():
                event = (1,) * len(v.type.domain.event_shape)
                free = b.asarray(v.free.reshape((1, *v.type.shape, *event)))
                held = b.asarray(v.observed[None], values[v.name].dtype)
                values[v.name] = xp.where(free, values[v.name], held)
        record = self.whole.record_values(values, next(iter(position.values())).shape[0])
        return as_stored(record, self.stored, b)


COARSEST, FINEST = 20.0, 0.001  #: where no learned part says how far its noise reaches
SCALE = 1.0


class Schedule(NamedTuple):
    """levels: standard deviations (k,), falling."""

    levels: np.ndarray
    scale: float  #: about the spread of the data, in the program's units


def schedule(
    anneal: Anneal, learned: Learned, count: int, options: dict[str, float], reach: float = np.inf
) -> Schedule:
    """Geometric levels from the coarsest that any part of the program has learned to the finest that all have.

    reach: of the data's spread, how far the noise need go at most.
    """
    found: dict[int, LearnedFactor] = {}
    for f in (*[f.group for f in anneal.flows], *anneal.families):
        found.update({id(n.attrs[0]): n.attrs[0] for n in learned_below(f.energy)})
    scales = [float(learned[key]["scale"][0]) if key in learned else SCALE for key in found]
    coarse = [s * float(p.options["coarsest"]) for s, p in zip(scales, found.values(), strict=True)]
    fine = [s * float(p.options["finest"]) for s, p in zip(scales, found.values(), strict=True)]
    coarse = [min(c, reach * s) for c, s in zip(coarse, scales, strict=True)]
    top = float(options.get("coarsest") or max(coarse, default=COARSEST))
    bottom = float(options.get("finest") or max(fine, default=FINEST))
    levels = np.geomspace(top, bottom, count)
    return Schedule(levels, float(np.mean(scales)) if scales else SCALE)


def start_of_others(field: Field, keys: Array, level: Array) -> Position:
    """A position for each key (n, 2) whose other variables, those without noise, have finite energy at a level."""
    density, anneal = field.density, field.anneal
    settled = {*anneal.transported, *(c.variable.name for c in anneal.choices)}
    if all(v.name in settled or not v.free_sites for v in density.graph.variables):
        xp, b, n = density.backend.xp, density.backend, keys.shape[0]
        position = {name: xp.zeros((n, *shape), dtype=b.real) for name, shape in field.block.shapes.items()}
    else:
        position = find_start(density, keys, level=Level(level))
    return {**position, **parts(field, keys, density.backend.asarray(-2))}


def parts(field: Field, keys: Array, t: Array) -> Position:
    """Which part of each mixture a particle belongs to, drawn by the weights: (n, copies) for each choice."""
    b, xp = field.backend, field.backend.xp
    ends = {
        c.variable.name: np.cumsum(c.weights.reshape(-1, c.weights.shape[-1]), axis=1)[:, :-1]
        for c in field.anneal.choices
    }
    spec = {name: NoiseSpec("uniform", (len(x),)) for name, x in ends.items()}
    found = {}
    for name, drawn in noise.draw(spec, keys, t, b).items():
        above = drawn[:, :, None] > b.asarray(ends[name][None], b.real)
        found[name] = xp.sum(xp.astype(above, b.integer), axis=2)
    return found
