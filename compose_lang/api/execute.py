"""From a compiled program, a plan and settings to a finished run: what `compose run` and `Model.sample` do.

Before: compiler and planner. A sampler is chosen, the run folder opened, the chains driven, and what they drew is
summarised and looked through for faults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_lang.api.check import stored_columns, warnings_ahead
from compose_lang.api.learned import learn
from compose_lang.api.records import data_of, manifest_of
from compose_lang.api.samplers import Choice, choose_sampler
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.report.render import as_json
from compose_lang.runtime.chains.driver import Driver, Watch
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.learning.obtain import TrainedWeights, by_part
from compose_lang.runtime.results.run import Run
from compose_lang.runtime.results.undefined import undefined_near
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
    choice = choose_sampler(program, plan, settings, learned)
    columns = stored_columns(choice.density.columns, settings.keep)
    warnings = [
        *program.diagnostics,
        *warnings_ahead(program.graph, lambda: plan, choice.settings, out),
    ]
    manifest = manifest_of(program, plan, choice.settings, constants or {}, lessons, columns, choice.lanes)
    begin = RunFolder.resume if resume and (out / MANIFEST).exists() else RunFolder.create
    folder = begin(out, manifest, data_of(program))
    try:
        sampler = choice.make([column.name for column in columns])
        outcome = Driver(sampler, folder, choice.settings, watch, time_limit).run()
        return conclude(program, choice, folder, outcome.status, learned, warnings)
    finally:
        folder.close()


def conclude(
    program: CompiledProgram,
    choice: Choice,
    folder: RunFolder,
    status: Status,
    learned: Learned,
    warnings: Sequence[Diagnostic],
) -> tuple[Run, list[Diagnostic]]:
    """The run and all that is to be told of it, written into its folder; warnings: those from before the first draw."""
    if choice.log_evidence is not None:
        folder.manifest.log_evidence = choice.log_evidence
    run = Run(folder)
    diagnostics = [
        *warnings,
        *_cut_short(status, run),
        *undefined_near(run, program.graph, learned),
        *run.findings(),
    ]
    folder.manifest.diagnostics = [as_json(diagnostic) for diagnostic in diagnostics]
    folder.commit()
    folder.write_summary(run.document())
    return run, diagnostics


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
