"""From a compiled program, a plan and settings to a finished run: what `compose run` and `Model.sample` do.

Before: compiler and planner. A sampler is chosen, the run folder opened, the chains driven, and what they drew is
summarised and looked through for faults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, dropwhile
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

from compose_lang.api.check import stored_columns, warnings_ahead
from compose_lang.api.learned import learn
from compose_lang.api.records import data_of, manifest_of
from compose_lang.api.samplers import choose_sampler
from compose_lang.api.second_plans import faults_of, gone_over, is_better, kernels_of, others
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.report.render import as_json
from compose_lang.runtime.chains.driver import Driver, Watch
from compose_lang.runtime.learning.obtain import TrainedWeights, by_part
from compose_lang.runtime.results.run import Run
from compose_lang.runtime.results.slopes import undefined_slopes
from compose_lang.runtime.results.undefined import undefined_near
from compose_lang.runtime.results.unvisited import unvisited
from compose_lang.runtime.runs.manifest import Status
from compose_lang.runtime.runs.settings import Settings
from compose_lang.runtime.runs.storage import MANIFEST, RunFolder

if TYPE_CHECKING:
    from compose_lang.compiler.passes import CompiledProgram
    from compose_lang.runtime.planning.plan import Plan


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
    """Run a program into a folder, and read it back; by the next plan where draws of a planner's choice are faulty.

    lessons: what its learned parts know; without them they are loaded or trained first.
    The manifest's `status` says whether it finished. The diagnostics are the program's and the draws'. Where
    a run was killed before its first file there is nothing to resume, and it begins.
    """
    if not plan.blocks:
        text = "there is nothing to sample: the program has no variable that is not observed"
        raise ComposeError(Diagnostic("CG0604", text))
    if lessons is None:
        lessons = learn(used_by(program.graph))
    given = Given(program, settings, constants or {}, lessons, watch)
    deadline = monotonic() + time_limit
    plans: Iterator[Plan] = chain([plan], others(program.graph, plan, settings))
    if resume and (out / MANIFEST).exists():
        kernels = [b["kernel"] for b in RunFolder.open(out).manifest.plan]
        known = list(plans)
        plans = iter([*dropwhile(lambda p: kernels_of(p) != kernels, known)] or known)
    followed = next(plans)
    run, diagnostics = drawn(given, followed, out, resume, time_limit)
    while (faults := faults_of(run)) and run.manifest.status == "finished" and monotonic() <= deadline:
        better = next(plans, None)
        if better is None:
            break
        with TemporaryDirectory(prefix=".compose-", dir=out.parent, ignore_cleanup_errors=True) as beside:
            folder = Path(beside) / out.name
            try:
                second, found = drawn(given, better, folder, False, deadline - monotonic())
            except ComposeError:
                continue  # the draws that there are stay, with what is told of them
            if second.manifest.status != "finished" or not is_better(second, run):
                continue
            rmtree(out)
            folder.replace(out)
        run = Run.open(out)
        diagnostics = [*found, gone_over(followed, better, faults)]
        conclude(run, diagnostics)
        followed = better
    return run, diagnostics


@dataclass(frozen=True)
class Given:
    """What all runs of a program have in common, whatever plan they follow."""

    program: CompiledProgram
    settings: Settings
    constants: Mapping[str, Any]
    lessons: Sequence[TrainedWeights]
    watch: Watch | None


def drawn(
    given: Given, plan: Plan, out: Path, resume: bool, time_limit: float
) -> tuple[Run, list[Diagnostic]]:
    """A run by one plan, and all that is to be told of it."""
    program, learned = given.program, by_part(given.lessons)
    choice = choose_sampler(program, plan, given.settings, learned)
    columns = stored_columns(choice.density.columns, given.settings.keep)
    warnings = [
        *program.diagnostics,
        *warnings_ahead(program.graph, lambda: plan, choice.settings, out),
    ]
    manifest = manifest_of(
        program, plan, choice.settings, given.constants, given.lessons, columns, choice.lanes
    )
    begin = RunFolder.resume if resume and (out / MANIFEST).exists() else RunFolder.create
    folder = begin(out, manifest, data_of(program))
    try:
        sampler = choice.make([column.name for column in columns])
        outcome = Driver(sampler, folder, choice.settings, given.watch, time_limit).run()
        if choice.log_evidence is not None:
            folder.manifest.log_evidence = choice.log_evidence
        run = Run(folder)
        diagnostics = [
            *warnings,
            *_cut_short(outcome.status, run),
            *undefined_near(run, program.graph, learned),
            *undefined_slopes(run, program.graph, learned),
            *unvisited(run, program.graph, learned),
            *run.findings(program.graph),
        ]
        conclude(run, diagnostics)
    finally:
        folder.close()
    return run, diagnostics


def conclude(run: Run, diagnostics: Sequence[Diagnostic]) -> None:
    """Write what is to be told of a run into its folder."""
    run.manifest.diagnostics = [as_json(diagnostic) for diagnostic in diagnostics]
    run.folder.commit()
    run.folder.write_summary(run.document())


def earlier_settings(out: Path) -> dict[str, Any]:
    """The settings of the run in a folder, `set` (its constants) among them; nothing where there is none."""
    if not (out / MANIFEST).exists():
        return {}
    stored = RunFolder.open(out).manifest.settings
    return {**stored, "keep": None if stored["keep"] is None else tuple(stored["keep"])}


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
