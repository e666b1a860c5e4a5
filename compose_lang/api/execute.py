"""From a compiled program, a plan and settings to a finished run: what `compose run` and `Model.sample` do.

Before: compiler and planner. It builds the density, opens the run folder, drives the chains, then summarises
what they drew and looks for what is wrong with it.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.learned_factor import LearnedFactor, used_by
from compose_lang.compiler.passes import with_params
from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean
from compose_lang.grammar import ast
from compose_lang.installed import installed
from compose_lang.report.explain import plan_as_json
from compose_lang.report.render import as_json
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.path import schedule
from compose_lang.runtime.annealing.population import PopulationSweeper
from compose_lang.runtime.annealing.replicas import REACH, ReplicaSweeper
from compose_lang.runtime.annealing.softening import Softening
from compose_lang.runtime.backends import facts, load_backend
from compose_lang.runtime.chains.driver import Driver, Sampler, Watch, ctrl_c_sets, lanes_of
from compose_lang.runtime.chains.independent import BestPoint, IndependentSweeper
from compose_lang.runtime.chains.optimise import Optimiser
from compose_lang.runtime.chains.sweep import Sweeper, stored_dtype
from compose_lang.runtime.chains.tempering import TemperedSweeper
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.elimination.solved import Solved
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.learning.files import digest
from compose_lang.runtime.learning.fitted import kept, lesson_of
from compose_lang.runtime.learning.loop import Watch as Learning
from compose_lang.runtime.learning.obtain import TrainedWeights, by_part, not_learned, obtain
from compose_lang.runtime.planning.irreducibility import unreached
from compose_lang.runtime.results.run import Run
from compose_lang.runtime.results.undefined import undefined_near
from compose_lang.runtime.runs.manifest import Lane, Manifest, Status
from compose_lang.runtime.runs.settings import Settings
from compose_lang.runtime.runs.storage import MANIFEST, RunFolder
from compose_lang.runtime.views.views import views_of

if TYPE_CHECKING:
    from compose_lang.compiler.passes import CompiledProgram
    from compose_lang.runtime.planning.plan import Plan

MUCH_OUTPUT = 2**30  #: bytes of draws that are worth a warning


def launch(
    program: CompiledProgram,
    plan: Plan,
    settings: Settings,
    *,
    out: Path,
    constants: Mapping[str, Any] | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    time_limit: float = math.inf,
    lessons: Sequence[TrainedWeights] | None = None,
) -> tuple[Run, list[Diagnostic]]:
    """Run a program into a folder, and read it back.

    lessons: what its learned parts know; without them they are loaded or trained first.
    The manifest's `status` says whether it finished. The diagnostics are the program's and the draws'. Where
    a run was killed before its first file there is nothing to resume, and it begins.
    """
    if not plan.blocks:
        text = "there is nothing to sample: the program has no variable that is not observed"
        raise ComposeError(Diagnostic("CG0604", text))
    if lessons is None:
        lessons = learn(used_by(program.graph))
    learned = by_part(lessons)
    solved = None
    if plan.is_exact and not learned:  # needs no compiler, and no warm-up
        solved = Solved(program.graph, next(iter(plan.exact.values())))
        settings, density = replace(settings, warmup=0, thin=1), solved.density
    else:
        backend = load_backend(settings.backend, settings.precision)  # type: ignore[arg-type]
        density = Density(program.graph, backend, learned)
    if plan.optimising is not None:  # each chain comes to one point
        settings = replace(settings, draws=1, thin=1)
    columns = _kept(density.columns, settings.keep)
    found = [
        *program.diagnostics,
        *unreached(program.graph, plan),
        *_size_of_output(columns, settings, out),
    ]
    if plan.annealing is not None:
        lanes = [Lane([chain]) for chain in range(settings.chains)]
        if plan.annealing.by_population:  # a chain is a population, its warm-up the walk down the levels
            settings = replace(settings, warmup=plan.annealing.levels, thin=1)
    else:
        runs_on = settings.backend if solved is None else solved.backend.name
        together = max((block.chains_together for block in plan.blocks), default=1)
        lanes = [Lane(chains) for chains in lanes_of(settings.chains, facts(runs_on).lanes, together)]
    manifest = Manifest(
        program={
            "name": program.source.name,
            "text": program.source.text,
            "sha256": hashlib.sha256(program.source.text.encode()).hexdigest(),
        },
        data={**_hashes(program), **_hashes_of_weights(lessons)},
        settings={**settings.as_json(), "set": dict(constants or {})},
        versions=_versions(settings.backend),
        plan=plan_as_json(plan),
        columns=[column.as_json() for column in columns],
        lanes=lanes,
        params={name: value.tolist() for name, value in program.params.items()},
    )
    begin = RunFolder.resume if resume and (out / MANIFEST).exists() else RunFolder.create
    folder = begin(out, manifest, _data(program))
    try:
        names = [column.name for column in columns]
        if plan.annealing is not None:
            sampler: Sampler = walker(density, plan, settings, learned, names)
        elif solved is not None:
            draws: type[IndependentSweeper] = IndependentSweeper if plan.optimising is None else BestPoint
            sampler = draws(solved, seed=settings.seed, chains=len(lanes[0].chains), keep=names)
        else:
            make: Any = Sweeper
            if plan.tempering is not None:
                make = partial(TemperedSweeper, tempering=plan.tempering)
            elif plan.optimising is not None:
                make = partial(Optimiser, optimising=plan.optimising)
            sampler = make(
                views_of(density, plan.blocks, plan.exact),
                seed=settings.seed,
                warmup=settings.warmup,
                chains=len(lanes[0].chains),
                keep=names,
            )
        outcome = Driver(sampler, folder, settings, watch, time_limit).run()
        if solved is not None and plan.optimising is None:
            folder.manifest.log_evidence = {"value": solved.log_evidence, "error": 0.0}
        run = Run(folder)
        found += [
            *_cut_short(outcome.status, run),
            *undefined_near(run, program.graph, learned),
            *run.findings(),
        ]
        folder.manifest.diagnostics = [as_json(diagnostic) for diagnostic in found]
        folder.commit()
        folder.write_summary(run.document())
    finally:
        folder.close()
    return run, found


def learn(parts: Iterable[LearnedFactor], learning: Learning | None = None) -> list[TrainedWeights]:
    """What parts know: loaded, kept from before, or learned now. Ctrl-C ends a training, which then can go on."""
    stopping = threading.Event()
    with ctrl_c_sets(stopping):
        return obtain(parts, learning, stopping.is_set)


def fit(
    program: CompiledProgram, learning: Learning | None = None
) -> tuple[CompiledProgram, list[TrainedWeights]]:
    """A program with its params fitted, unless they are, and the lesson of it; Ctrl-C as in `learn`."""
    if program.fitting is None or program.params:
        return program, []
    stopping = threading.Event()
    with ctrl_c_sets(stopping):
        lesson = lesson_of(program.fitting, learning, stopping.is_set)
    return with_params(program, lesson.weights, lesson.findings), [lesson]


def fitted_before(program: CompiledProgram) -> CompiledProgram:
    """A program with its params as an earlier fit left them; CG0714 where they are still to be fitted."""
    fitting = program.fitting
    if fitting is None or program.params:
        return program
    lesson = kept(fitting)
    if lesson is None:
        raise ComposeError(not_learned(fitting, f"{fitting.shown}: not fitted yet"))
    return with_params(program, lesson.weights, lesson.findings)


def walker(
    density: Density, plan: Plan, settings: Settings, learned: Learned, names: Sequence[str]
) -> PopulationSweeper | ReplicaSweeper:
    """What samples along the levels of a program."""
    walked = plan.annealing
    assert walked is not None
    by_population = walked.by_population
    freed = Density(walked.anneal.graph, density.backend, learned)
    others = [b for b in plan.blocks if b.variables != walked.anneal.transported]
    views = views_of(freed, others, plan.exact, is_steady=False)
    reach = math.inf if by_population or walked.anneal.choices else REACH
    levels = schedule(walked.anneal, learned, walked.levels, dict(walked.options), reach)
    return (PopulationSweeper if by_population else ReplicaSweeper)(
        Field(walked.anneal, views.density, Softening(float(levels.levels[0]), float(levels.levels[-1]))),
        walked,
        views,
        levels,
        seed=settings.seed,
        particles=settings.draws if by_population else walked.levels,
        keep=names,
        whole=density,
        warmup=settings.warmup,
    )


def earlier_settings(out: Path) -> dict[str, Any]:
    """The settings of the run in a folder, `set` (its constants) among them; nothing where there is none."""
    if not (out / MANIFEST).exists():
        return {}
    stored = RunFolder.open(out).manifest.settings
    return {**stored, "keep": None if stored["keep"] is None else tuple(stored["keep"])}


def _kept(columns: Sequence[Column], keep: tuple[str, ...] | None) -> list[Column]:
    """The columns to store: those named (CG0307 if there is none of that name), or all that can vary."""
    if keep is None:
        return [column for column in columns if column.free.size]
    names = [column.name for column in columns]
    for name in keep:
        if name not in names:
            help = did_you_mean(name, names) or f"what can be kept: {', '.join(names)}"
            raise ComposeError(Diagnostic("CG0307", f"there is no `{name}` to keep", help=help), exit_code=2)
    return [column for column in columns if column.name in keep]


def _size_of_output(columns: Sequence[Column], settings: Settings, out: Path) -> list[Diagnostic]:
    """A warning where the draws take much room on disk; an error (exit code 5) where there is not enough."""
    each = sum(column.size * np.dtype(stored_dtype(column.type.domain)).itemsize for column in columns)
    total = each * settings.chains * settings.draws
    if total < MUCH_OUTPUT:
        return []
    widest = max(columns, key=lambda column: column.size).name
    help = f"--keep NAMES stores some of them only (`{widest}` is the largest), --thin K fewer draws"
    text = f"the draws take {total / 2**30:.1f} GB in {out}"
    parent = next(folder for folder in [out, *out.absolute().parents] if folder.exists())
    if total > shutil.disk_usage(parent).free:
        text += f", but only {shutil.disk_usage(parent).free / 2**30:.1f} GB are free"
        raise ComposeError(Diagnostic("CG0801", text, help=help), exit_code=5)
    return [Diagnostic("CG0801", text, severity="warning", help=help)]


def _cut_short(status: Status, run: Run) -> list[Diagnostic]:
    """What to say of a run that did not get to its end."""
    if status == "finished":
        return []
    wanted = run.manifest.settings["draws"]
    code, why = (
        ("CG0706", "interrupted") if status == "interrupted" else ("CG0802", "the time limit is reached")
    )
    text = f"{why}: {run.draws} of {wanted} draws a chain are stored"
    return [
        Diagnostic(code, text, severity="warning", help="the same command with --resume goes on from there")
    ]


def _data(program: CompiledProgram) -> dict[str, NDArray[Any]]:
    """The program's data under InferenceData's groups: what stands left of `~` is observed."""
    observed = set(_subjects(program.module.statements))
    return {
        f"{'observed_data' if name in observed else 'constant_data'}.{name}": node.value
        for name, node in program.graph.data.items()
        if node.value is not None
    }


def _subjects(statements: Iterable[ast.Statement]) -> list[str]:
    """Names that stand left of a `~`, in plates and branches too."""
    found: list[str] = []
    for statement in statements:
        match statement:
            case ast.Tilde(subject=ast.Name(id=name)) | ast.Tilde(subject=ast.Index(base=ast.Name(id=name))):
                found.append(name)
            case ast.For(body=body):
                found += _subjects(body)
            case ast.If(then=then, otherwise=otherwise):
                found += _subjects([*then, *otherwise])
    return found


def _hashes(program: CompiledProgram) -> dict[str, str]:
    """The sha256 of each datum: of its values, and of the file it was read from."""
    hashes = {f"{name} (file)": digest for name, digest in program.data_hashes.items()}
    for name, node in program.graph.data.items():
        if node.value is not None:
            content = (
                f"{node.value.dtype}{node.value.shape}".encode() + np.ascontiguousarray(node.value).tobytes()
            )
            hashes[name] = hashlib.sha256(content).hexdigest()
    if program.params:
        hashes["params"] = digest(program.params)
    return hashes


def _hashes_of_weights(lessons: Iterable[TrainedWeights]) -> dict[str, str]:
    """The sha256 of what each part has learned: other weights make another run."""
    return {f"{lesson.name} (weights)": digest(lesson.weights) for lesson in lessons}


def _versions(backend: str) -> dict[str, str]:
    """The versions of what decides the bits of a draw."""
    found = installed(dict.fromkeys(("compose_lang", "numpy", *facts(backend).libraries)))
    return {name: value for name, value in found.items() if value is not None}
