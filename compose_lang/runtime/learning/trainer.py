"""Training: Adam on a part's loss, with a held-out score, averaged weights, checkpoints and early stopping.

It runs on JAX, which every installation has, in float32; what it gives is arrays, which any backend takes. A step's
batch and noise are functions of the seed and the step's number alone, and scores are taken at fixed steps, so that what
resumes goes on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import Joint, LearnedFactor
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.backends import DEFAULT, load_backend
from compose_lang.runtime.chains.recording import named_leaves, rebuilt
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.learned.learner import Learner, trained
from compose_lang.runtime.learning.joint import learner_of
from compose_lang.runtime.learning.loop import Arrays, Follower, Outcome, Progress, Stop, Watch, never

HELD_OUT = 0.1
MOST_HELD_OUT = 2000
JUDGED_EVERY = 250  #: steps between two held-out scores
LOOK_SECONDS = 0.3  #: between two looks, at which a training can be told to stop
WARM_UP = 0.02  #: part of the steps in which the rate rises
CLIP = 1.0  #: the longest gradient, so that one odd batch ruins nothing


@dataclass(frozen=True)
class State:
    """A training under way: all that a checkpoint holds."""

    step: int
    weights: dict[str, Any]
    average: dict[str, Any]
    optimiser: Any
    carried: Any
    held_out: float  #: the latest score
    best: float
    best_weights: dict[str, Any]
    best_step: int


class Trainer:
    """The training of one part, or of parts together."""

    def __init__(self, part: Any, others: Learned | None = None) -> None:
        """others: the weights of parts that a `Joint` uses and that were learned by themselves."""
        self.part: Any = part  #: a `LearnedFactor` or a `Joint`, whichever its learner takes
        self.learner: Learner = learner_of(part, others)
        self.begun = self.learner.begin(part)  # a ValueError says in the user's words what does not fit
        self.backend: Backend = load_backend(DEFAULT, "float32")
        options = part.options
        self.steps = int(options.get("steps", 0))
        rows = len(next(iter(part.data.values())))
        order = np.random.default_rng(int(options.get("seed", 0))).permutation(rows)
        held = min(MOST_HELD_OUT, max(1, int(HELD_OUT * rows)))
        self.held, self.used = order[:held], order[held:]
        self.batch = int(options.get("batch", 1))  # rows come again with other noise

    def optimiser(self) -> Any:
        import optax

        rate = float(self.part.options["rate"])
        warm = max(1, int(WARM_UP * self.steps))
        schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warm, max(self.steps, warm + 1), 0.01 * rate)
        return optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(schedule))

    def start(self) -> State:
        weights = {n: self.backend.asarray(w) for n, w in self.begun.items()}
        net = trained(weights)
        carried = self.learner.state(self.part, self.batch) if self.learner.state else None
        return State(0, weights, net, self.optimiser().init(net), carried, np.inf, np.inf, weights, 0)

    def run(
        self,
        watch: Watch | None = None,
        begun: State | None = None,
        keep: Callable[[State], None] | None = None,
        stop: Stop = never,
    ) -> Outcome:
        """Train to the end or to no more progress; the weights are the averaged ones, and with `patience` the best.

        begun: the state to go on from. keep: given the state at each look. Raises Stopped where `stop` says so.
        """
        if self.learner.loss is None:
            state = State(0, self.begun, {}, None, None, np.inf, np.inf, self.begun, 0)
            return Outcome(self.begun, state, self.report(state))
        follower = Follower(watch, keep, stop)
        with self.backend.scope():
            state = self.advanced(begun or self.start(), follower)
            chosen = state.best_weights if self.patience else {**state.weights, **state.average}
            weights = {n: np.asarray(w) for n, w in chosen.items()}
            if self.learner.finish is not None and state.step:
                follower.tell(self.progress(state, np.inf, 0.0, "finishing"))
                weights |= self.learner.finish(self.part, self.backend, chosen)
        return Outcome(weights, state, self.report(state))

    def advanced(self, state: State, follower: Follower) -> State:
        """The state after all steps, or where there is no more progress."""
        advance, judge = self.compiled()
        rows = {n: self.backend.asarray(r) for n, r in self.part.data.items()}
        follower.tell(self.progress(state, np.inf, 0.0, "compiling"))
        rate, first = 0.0, True  # the time of the first chunk is the compiler's
        while not self.is_done(state):
            follower.end_if_told(state, state.step)
            began = monotonic()
            count = self.chunk(state.step, rate)
            weights, average, optimiser, carried, lost = advance(
                rows, state.weights, state.average, state.optimiser, state.carried, state.step, count
            )
            loss = float(lost)
            state = replace(
                state,
                step=state.step + count,
                weights=weights,
                average=average,
                optimiser=optimiser,
                carried=carried,
            )
            if not np.isfinite(loss):
                raise diverged(self.part, state.step)
            if state.step % JUDGED_EVERY == 0 or state.step == self.steps:
                state = self.judged(state, float(judge(rows, {**state.weights, **state.average})))
            rate = 0.0 if first else count / max(monotonic() - began, 1e-9)
            first = False
            follower.after(state, self.progress(state, loss, rate))
        return state

    def progress(self, state: State, loss: float, rate: float, phase: Any = "training") -> Progress:
        return Progress(self.part, state.step, self.steps, loss, state.held_out, rate, phase)

    def report(self, state: State) -> dict[str, Any]:
        """What the file of weights says of the training: rows, steps, and the score of the weights it holds."""
        score = state.best if self.patience else state.held_out
        return {
            "rows": len(next(iter(self.part.data.values()))),
            "steps": state.step,
            "held_out": score if np.isfinite(state.held_out) else None,
        }

    @property
    def patience(self) -> int:
        """Steps without a better score after which training ends; 0: never."""
        return int(self.part.options.get("patience", 0))

    def is_done(self, state: State) -> bool:
        if state.step >= self.steps:
            return True
        # asked where scores are taken, so that it does not hang on when one looks
        judged = bool(self.patience) and state.step % JUDGED_EVERY == 0
        return judged and state.step - state.best_step >= self.patience

    def chunk(self, step: int, rate: float) -> int:
        """How many steps to take before the next look, at a rate of steps a second; a score is due at its end only."""
        wanted = max(1, round(rate * LOOK_SECONDS))
        return min(wanted, JUDGED_EVERY - step % JUDGED_EVERY, self.steps - step)

    def judged(self, state: State, score: float) -> State:
        """The state with its held-out score, and with its weights as the best where they are."""
        if not np.isfinite(score):
            raise diverged(self.part, state.step)
        state = replace(state, held_out=score)
        if score >= state.best:
            return state
        return replace(
            state, best=score, best_weights={**state.weights, **state.average}, best_step=state.step
        )

    def packed(self, state: State) -> Arrays:
        """A state as the arrays of a checkpoint."""
        return {name: np.asarray(leaf) for name, leaf in named_leaves(tree(state))}

    def unpacked(self, arrays: Arrays) -> State | None:
        """The state that a checkpoint's arrays are; None where they are of another training."""
        with self.backend.scope():
            like = tree(self.start())
            leaves = dict(named_leaves(like))
            if {n: np.shape(a) for n, a in leaves.items()} != {n: a.shape for n, a in arrays.items()}:
                return None
            own = {
                n: self.backend.asarray(arrays[n], getattr(a, "dtype", None))
                for n, a in leaves.items()
                if n != NUMBERS  # of more digits than the backend's
            }
            weights, average, optimiser, carried, best_weights, _ = rebuilt(
                like, {**own, NUMBERS: arrays[NUMBERS]}
            )
        step, held_out, best, best_step = (float(x) for x in arrays[NUMBERS])
        return State(
            int(step), weights, average, optimiser, carried, held_out, best, best_weights, int(best_step)
        )

    def compiled(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        import jax
        import optax

        learner, part, backend = self.learner, self.part, self.backend
        rule, decay = self.optimiser(), float(part.options["ema"])
        assert learner.loss is not None
        loss = learner.loss
        specs = self.specs()

        def batch_at(rows: Any, step: Array) -> tuple[Any, Any]:
            drawn = noise.draw(specs, self.keys(self.batch, 0), step, backend)
            used = backend.asarray(self.used, backend.integer)
            place = backend.xp.astype(drawn.pop("row") * len(self.used), backend.integer)
            chosen = {n: r[used[place]] for n, r in rows.items()}
            return self.with_gaps(chosen, drawn), drawn

        def step_of(rows: Any, carry: Any, step: Array) -> Any:
            weights, average, optimiser, carried, _ = carry
            batch, drawn = batch_at(rows, step)
            if learner.advance is not None:
                extra, carried = learner.advance(part, backend, weights, batch, carried, drawn)
                batch = {**batch, **jax.tree.map(jax.lax.stop_gradient, dict(extra))}

            def total(net: Any) -> Array:
                return backend.xp.mean(loss(part, backend, {**weights, **net}, batch, drawn))

            lost, slope = jax.value_and_grad(total)(trained(weights))
            change, optimiser = rule.update(slope, optimiser)
            net = optax.apply_updates(trained(weights), change)
            share = backend.xp.minimum(decay, (1.0 + step) / (10.0 + step))
            average = {n: share * average[n] + (1.0 - share) * net[n] for n in average}
            return {**weights, **net}, average, optimiser, carried, lost

        def advance(
            rows: Any, weights: Any, average: Any, optimiser: Any, carried: Any, first: Any, count: Any
        ) -> Any:
            start = (weights, average, optimiser, carried, backend.asarray(0.0))
            return jax.lax.fori_loop(0, count, lambda i, c: step_of(rows, c, first + i), start)

        def judge(rows: Any, weights: Any) -> Array:
            held = backend.asarray(self.held, backend.integer)
            chosen = {n: r[held] for n, r in rows.items()}
            drawn = noise.draw(specs, self.keys(len(self.held), 1), backend.asarray(0), backend)
            drawn.pop("row")
            if learner.advance is not None:
                assert learner.state is not None
                extra, _ = learner.advance(
                    part, backend, weights, chosen, learner.state(part, len(self.held)), drawn
                )
                chosen = {**chosen, **extra}
            return backend.xp.mean(loss(part, backend, weights, self.with_gaps(chosen, drawn), drawn))

        return jax.jit(advance), jax.jit(judge)

    def specs(self) -> dict[str, NoiseSpec]:
        optional = [p.name for p in self.part.inputs if p.is_optional]
        gaps = {f"given.{name}": NoiseSpec("uniform", ()) for name in optional}
        return {"row": NoiseSpec("uniform", ()), **gaps, **self.learner.noise(self.part)}

    def keys(self, rows: int, stream: int) -> Array:
        found = noise.chain_keys(
            int(self.part.options["seed"]), np.arange(rows), stream, load_backend("numpy")
        )
        return self.backend.asarray(found, self.backend.word)

    def with_gaps(self, rows: dict[str, Array], drawn: dict[str, Array]) -> dict[str, Array]:
        """A batch in which optional inputs are left out of a part of the rows."""
        drop = float(self.part.options.get("drop", 0.0))
        found = dict(rows)
        for port in self.part.inputs:
            if port.is_optional:
                found[f"given.{port.name}"] = self.backend.xp.astype(
                    drawn.pop(f"given.{port.name}") >= drop, self.backend.real
                )
        return found


def diverged(part: LearnedFactor | Joint, step: int) -> ComposeError:
    text = f"learning `{part.name}` diverged by step {step}: its loss is no number any more"
    help = f"a lower rate: {part.method}(…, rate={part.options['rate'] / 3:.1g})"
    return ComposeError(Diagnostic("CG0710", text, part.span, help=help))


NUMBERS = "/5"  #: the leaf of `tree` that holds its numbers


def tree(state: State) -> object:
    """A state as nested tuples and dicts of arrays."""
    numbers = np.array([state.step, state.held_out, state.best, state.best_step], dtype=np.float64)
    return (state.weights, state.average, state.optimiser, state.carried, state.best_weights, numbers)
