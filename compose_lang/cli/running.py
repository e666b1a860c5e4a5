"""`compose run`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compose_lang.cli.verb import (
    FAULTS,
    NOTHING,
    DataFlag,
    Program,
    SetFlag,
    TrustFlag,
    folder_of,
    model_of,
    verb,
)
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.report.screen import INTERRUPTED, Screen

if TYPE_CHECKING:
    from compose_lang.api.model import Model
    from compose_lang.runtime.learning.obtain import TrainedWeights
    from compose_lang.runtime.planning.plan import Plan
    from compose_lang.runtime.results.run import Run
    from compose_lang.runtime.runs.settings import Settings

ENDS = {"interrupted": INTERRUPTED, "time limit": 5}  #: exit codes of a run that did not finish
DOCUMENT = (
    "program", "seed", "backend", "draws", "chains", "plan", "summary", "log_evidence", "diagnostics", "seconds",
    "out",
)  # fmt: skip


@verb
def run(
    screen: Screen,
    program: Program,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the noise [0].")] = None,
    chains: Annotated[int | None, typer.Option(min=1, help="Number of chains [4].")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Draws a chain [1000].")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Sweeps before the first draw [1000].")] = None,
    thin: Annotated[int | None, typer.Option(min=1, metavar="K", help="Sweeps a draw [1].")] = None,
    keep: Annotated[str | None, typer.Option(metavar="NAMES", help="What to store, by commas [all].")] = None,
    method: Annotated[str | None, typer.Option(help="One method for all: hmc, 'mh(step=0.1)', auto.")] = None,
    backend: Annotated[str | None, typer.Option(help="jax, torch or numpy [jax].")] = None,
    device: Annotated[str, typer.Option(help="Where to compute.")] = "cpu",
    precision: Annotated[str | None, typer.Option(help="float32 or float64 [float64].")] = None,
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the draws [PROGRAM.out].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    time_limit: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Stop after that.")] = math.inf,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 if the draws have faults.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every row of the summary.")] = False,
) -> int:
    """Sample a program; write and summarise its draws."""
    folder = out or folder_of(program)
    screen.failure = dict.fromkeys(DOCUMENT) | {"program": str(program)}
    if device != "cpu":
        raise ComposeError(Diagnostic("CG0901", f"the device `{device}` is not built yet: there is `cpu`"))
    from compose_lang.api.execute import earlier_settings, launch

    earlier = earlier_settings(folder) if resume else {}
    model = model_of(program, data, constants, trust, earlier.pop("set", {}))
    given = {
        "seed": seed, "chains": chains, "draws": draws, "warmup": warmup, "thin": thin, "method": method,
        "keep": None if keep is None else tuple(name.strip() for name in keep.split(",") if name.strip()),
        "backend": backend, "precision": precision,
    }  # fmt: skip
    settings = model.settings(**earlier | {name: value for name, value in given.items() if value is not None})
    with screen.learning() as learning:
        model = model.fitted(learning)
    screen.tell(model.lessons, screen.verbose)
    plan = planned(screen, model, settings)
    lessons = learned(screen, model)
    if model.program.params and not plan.blocks:
        return end_without_draws(screen, model)
    with screen.bars(settings) as watch:
        done, found = launch(
            model.program, plan, settings, lessons=lessons,
            constants=model.constants, out=folder, resume=resume, watch=watch, time_limit=time_limit,
        )  # fmt: skip
    if screen.json:
        known = {"learned": [lesson.as_json() for lesson in lessons]} if lessons else {}
        screen.document({**done.document(), **known})
    elif done.draws:
        screen.out.print(done.table(every))
    return ended(screen, done, [finding for finding in found if finding not in model.diagnostics], strict)


def planned(screen: Screen, model: Model, settings: Settings) -> Plan:
    """The plan of a run, and what is to be told of it before anything is learned or drawn."""
    from compose_lang.report.explain import explain_block, explain_settings, plan_as_json

    plan = model.plan(settings)
    screen.failure |= {
        "plan": plan_as_json(plan),
        "seed": settings.seed,
        "backend": settings.backend,
        "chains": settings.chains,
    }
    screen.say(explain_settings(settings, plan))
    for block in plan.described:
        screen.say(explain_block(block))
    screen.report(model.diagnostics)
    return plan


def learned(screen: Screen, model: Model) -> list[TrainedWeights]:
    """What the program's factors have learned, after a training where it takes one; the params are printed."""
    from compose_lang.api.learned import learn
    from compose_lang.compiler.graph.learned_factor import used_by
    from compose_lang.report.training import params_table

    with screen.learning() as learning:
        lessons = learn(used_by(model.program.graph), learning)
    screen.tell(lessons, screen.verbose)
    if model.program.params and not screen.json:
        print(params_table(model.program.params))
    return lessons


def end_without_draws(screen: Screen, model: Model) -> int:
    """The end of a run of a program that has params to fit and no variables."""
    from compose_lang.report.render import as_json

    if screen.json:
        diagnostics = [as_json(d) for d in model.diagnostics]
        values = {name: value.tolist() for name, value in model.program.params.items()}
        screen.document(screen.failure | {"diagnostics": diagnostics, "params": values})
    screen.say("there is nothing to sample: all is data")
    return 0


def ended(screen: Screen, done: Run, findings: Sequence[Diagnostic], strict: bool) -> int:
    """Tell how a run ended; its exit code."""
    screen.report(findings)
    status = done.manifest.status
    if status == "finished":
        what = "draws are" if done.optimum is None else "point is"
        screen.say(f"the {what} in {done.out}: `compose export {done.out} --to netcdf` for ArviZ and others")
    if any(finding.severity == "error" for finding in findings):
        return 1
    has_faults = any(finding.severity == "warning" for finding in findings)
    return ENDS.get(status) or (FAULTS if strict and has_faults else 0)
