"""Compose from Python: compile a program, look at its plan and energy, sample it.

import compose_lang as cg
model = cg.compile("schools.cg", data={...})
run = model.sample(seed=0, chains=4, draws=1000)
run.posterior["theta"]
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from compose_lang.api.bindings import requested
from compose_lang.api.check import checked_program, warnings_ahead
from compose_lang.compiler.graph.factor_graph import Request, Variable
from compose_lang.compiler.passes import CompiledProgram
from compose_lang.compiler.sources.convert import bind_data
from compose_lang.diagnostics import ComposeError, Diagnostic, Source, did_you_mean
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse, read_source

if TYPE_CHECKING:
    from compose_lang.runtime.chains.driver import Watch
    from compose_lang.runtime.elimination.solved import Solved
    from compose_lang.runtime.learned.energy import Learned
    from compose_lang.runtime.learning.loop import Watch as Learning
    from compose_lang.runtime.learning.obtain import TrainedWeights
    from compose_lang.runtime.planning.plan import Plan
    from compose_lang.runtime.results.run import Run
    from compose_lang.runtime.runs.settings import Settings


def compile(
    program: str | Path,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Model:
    """Compile a program, given as a path (a `Path`, or a string that ends in `.cg`) or as its text.

    data: values of the program's `data` by name: arrays, or what NumPy makes arrays of. constants replace the
    values of its `const`s. trust: whether the program may run foreign code (`extern`). Raises a ComposeError with
    every error found.
    """
    is_path = isinstance(program, Path) or (program.endswith(".cg") and "\n" not in program)
    source = read_source(program) if is_path else Source("<text>", str(program))
    return Model(checked_program(source, data, constants, trust=trust), constants, data, trust)


def sample(
    program: str | Path,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    trust: bool = False,
    **options: Any,
) -> Run:
    """Compile and sample a program in one go; options are those of `Model.sample`."""
    return compile(program, data, constants, trust).sample(**options)


def data_names(program: Path) -> tuple[str, ...]:
    """The names that a program declares as `data`."""
    module = parse(read_source(program))
    return tuple(statement.name for statement in module.statements if isinstance(statement, ast.Data))


class Model:
    """A compiled program with its data."""

    def __init__(
        self,
        program: CompiledProgram,
        constants: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        trust: bool = False,
        lessons: Sequence[TrainedWeights] = (),
    ) -> None:
        """lessons: of params that were fitted."""
        self.program = program
        self.trust = trust
        self.constants = dict(constants or {})
        self.data = dict(data or {})
        self.lessons = tuple(lessons)
        self._fitted: Model | None = None

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The compiler's warnings."""
        return self.program.diagnostics

    def settings(self, **chosen: Any) -> Settings:
        """The settings of a run: what is given, else the program's, `COMPOSE_*` variables, or defaults."""
        from compose_lang.runtime.runs.settings import settle

        return settle(chosen, self.program.settings, os.environ)

    def plan(self, settings: Settings) -> Plan:
        """The blocks and kernels that a run of these settings uses."""
        from compose_lang.runtime.planning.plan import plan

        return plan(self.program.graph, settings.backend, self._requests(settings.method))

    def warnings_ahead(self, out: str | Path = "", **chosen: Any) -> list[Diagnostic]:
        """What a run of these settings warns of before its first draw, besides `diagnostics`. out: its folder."""
        settings = self.settings(**chosen)
        return warnings_ahead(self.program.graph, lambda: self.plan(settings), settings, Path(out))

    def _requests(self, method: str | None) -> list[Request]:
        """What the planner is asked for: the program's `infer` statements, unless a method is given."""
        return list(self.program.graph.requests) if method is None else requested(method)

    def explain(self, **chosen: Any) -> str:
        """The plan in words: blocks, kernels, and why."""
        from compose_lang.report.explain import explain_plan
        from compose_lang.report.training import explain_fit, explain_parts

        plan = explain_plan(self.program.graph, self.plan(self.settings(**chosen)))
        learned = explain_parts(self.program.parts)
        return "\n\n".join(filter(None, [plan, explain_fit(self.program.fitting), learned]))

    def energy(self, values: Mapping[str, Any]) -> float:
        """The program's energy in nats where its variables have these values: minus the log of its weight.

        No Jacobian is in it, and it is infinite where a `require` fails. Observed elements keep their values.
        Raises a ComposeError where a variable has no value, or one outside its type, and where something is still
        to be learned (CG0714): nothing is trained for it.
        """
        from compose_lang.runtime.backends import load_backend
        from compose_lang.runtime.density.density import Density

        graph, backend = self._settled.graph, load_backend("numpy")
        names = [variable.name for variable in graph.variables]
        for name in values:
            if name not in names:
                text = f"the program has no variable `{name}`"
                raise ComposeError(Diagnostic("CG0201", text, help=did_you_mean(name, names)))
        with backend.scope():
            density = Density(graph, backend, self._weights)
            whole = {v.name: self._value(v, values)[None] for v in graph.variables if v.free_sites}
            return float(density.energy_of_values(whole)[0])

    @staticmethod
    def _value(variable: Variable, values: Mapping[str, Any]) -> NDArray[Any]:
        """The value given for a variable, checked against its type, with what is observed in its place."""
        if variable.name not in values:
            raise ComposeError(
                Diagnostic("CG0301", f"the variable `{variable.name}` has no value", variable.span)
            )
        given = bind_data(values[variable.name], variable.type, variable.name, None)
        free = variable.free.reshape((*variable.type.shape, *(1,) * len(variable.type.domain.event_shape)))
        return np.where(free, given, variable.observed)

    def log_evidence(self) -> float:
        """log Z in nats, exactly: the log of the sum of exp(-energy) over all values of finite variables.

        Raises a ComposeError where a variable is not finite, or the sum would cost too much (CG0601), and where
        something is still to be learned (CG0714).
        """
        return self._solved().log_evidence

    def marginals(self) -> dict[str, NDArray[np.float64]]:
        """The exact probability of each value of each site, (*shape, values) by variable; errors as `log_evidence`."""
        return self._solved().marginals()

    def best(self) -> dict[str, NDArray[Any]]:
        """A point of least energy of finite variables, exactly, (*shape) by variable; errors as `log_evidence`."""
        return self._solved().best()

    def _solved(self) -> Solved:
        """The program with its finite variables summed out."""
        from compose_lang.compiler.analyses.sum_out import exact
        from compose_lang.runtime.elimination.solved import Solved
        from compose_lang.runtime.kernels.exact import KERNEL

        graph = self._settled.graph
        free = [v for v in graph.variables if v.free_sites]
        for v in free:
            if v.kind != "finite":
                text = f"`{v.name}` is {v.type.domain}: exact answers are there for finite variables only"
                raise ComposeError(Diagnostic("CG0601", text, v.span))
        found = exact(graph, free, KERNEL.options["max_cost"].default)
        if isinstance(found, str):
            raise ComposeError(Diagnostic("CG0601", f"there is no exact answer: {found}"))
        return Solved(graph, found, self._weights)

    @property
    def params(self) -> dict[str, NDArray[Any]]:
        """The values of the params that a `learn … by maximum_likelihood` fits; CG0714 where they are not fitted."""
        return dict(self._settled.params)

    @cached_property
    def _settled(self) -> CompiledProgram:
        """The program with its params as they were fitted before. Nothing is fitted here."""
        from compose_lang.api.learned import fitted_before

        return fitted_before(self.program) if self._fitted is None else self._fitted.program

    @cached_property
    def _weights(self) -> Learned:
        """What the program's learned factors have learned before. Nothing is trained here."""
        from compose_lang.compiler.graph.learned_factor import used_by
        from compose_lang.runtime.learning.obtain import by_part, existing

        return by_part(existing(used_by(self._settled.graph)))

    def fitted(self, learning: Learning | None = None) -> Model:
        """A model with the params fitted: this one where it has none to fit; learning is as in `learn`."""
        from compose_lang.api.learned import fit

        if self.program.fitting is None or self.program.params:
            return self
        if self._fitted is None:
            program, lessons = fit(self.program, learning)
            self._fitted = Model(program, self.constants, self.data, self.trust, lessons)
        return self._fitted

    def learn(
        self, *, out: str | Path | None = None, learning: Learning | None = None
    ) -> list[TrainedWeights]:
        """Learn what the program declares by `learn`, or find it learned, and load what it declares by `load`.

        Params that it fits come first, as a lesson named `params`. What is learned is kept: energies, exact answers and
        draws of the same program use it.

        A lesson has the part's name, weights, held-out score, and the path of its file of weights. out: where the
        weights are to be written besides: a file of `.safetensors`, or a folder, in which each has its part's name.
        learning is called with a `Progress` every third of a second. Ctrl-C ends it with CG0706; called again it
        goes on from there.
        """
        from compose_lang.api.learned import learn
        from compose_lang.runtime.learning.exported import export, require_room
        from compose_lang.runtime.learning.obtain import by_part

        if out is not None:
            require_room(Path(out), self.program.parts)
        model = self.fitted(learning)
        lessons = learn(model.program.parts, learning)
        self._settled, self._weights = model.program, by_part(lessons)
        return [*model.lessons, *(lessons if out is None else export(Path(out), lessons))]

    def sample(
        self,
        *,
        seed: int | None = None,
        chains: int | None = None,
        draws: int | None = None,
        warmup: int | None = None,
        thin: int | None = None,
        keep: tuple[str, ...] | list[str] | None = None,
        method: str | None = None,
        backend: str | None = None,
        precision: str | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        time_limit: float = math.inf,
        watch: Watch | None = None,
        learning: Learning | None = None,
    ) -> Run:
        """Draw from the program; what is None comes from the program, the environment or the defaults.

        draws counts per chain, after `warmup` sweeps, one each `thin` sweeps. keep: names to store (all).
        out: folder for the draws; without it they are kept in a temporary one as long as the run is.
        What the program learns is learned first, unless it was before; learning is as in `learn`.
        time_limit is in seconds of sampling. Ctrl-C ends a run early; what it has drawn stays, and `resume` goes on.
        """
        from compose_lang.api.execute import launch
        from compose_lang.api.learned import learn
        from compose_lang.compiler.graph.learned_factor import used_by

        settings = self.settings(
            seed=seed, chains=chains, draws=draws, warmup=warmup, thin=thin, method=method, backend=backend,
            precision=precision, keep=None if keep is None else tuple(keep),
        )  # fmt: skip
        model = self.fitted(learning)
        plan = model.plan(settings)
        lessons = learn(used_by(model.program.graph), learning)
        folder = Path(mkdtemp(prefix="compose-")) if out is None else Path(out)
        try:
            run, _ = launch(
                model.program, plan, settings, out=folder, constants=self.constants, resume=resume,
                watch=watch, time_limit=time_limit, lessons=lessons,
            )  # fmt: skip
        except BaseException:
            if out is None:
                rmtree(folder, ignore_errors=True)
            raise
        if out is None:
            finalize(run, rmtree, folder, ignore_errors=True)
        return run


__all__ = ["ComposeError", "Model", "compile", "sample"]
