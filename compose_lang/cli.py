"""The command `compose`: its verbs and their flags; what they do is in `api`, how they end in `screen`.

Heavy libraries are imported by the verbs that need them: `compose --help` and `compose check` load neither
JAX nor PyTorch, NumPyro, SciPy, xarray or networkx.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.screen import INTERRUPTED, Screen, in_colour

if TYPE_CHECKING:
    from compose_lang.api import Model

app = typer.Typer(
    name="compose",
    help="Compose: generative models as products of factors. Start with `compose run PROGRAM.cg`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAULTS = 3  #: exit code of --strict where the draws have faults
ENDS = {"interrupted": INTERRUPTED, "time limit": 5}  #: exit codes of a run that did not finish
MOST_ROWS = 200  #: of a summary on the screen
DOCUMENT = (
    "program", "seed", "backend", "draws", "chains", "plan", "summary", "log_evidence", "diagnostics", "seconds",
    "out",
)  # fmt: skip
EVERY_VERB: dict[str, Any] = {
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors and results.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")],
    "json": Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")],
    "no_progress": Annotated[bool, typer.Option("--no-progress", help="Show no bars.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of what goes wrong.")],
}


def verb(function: Callable[..., int | None]) -> Callable[..., None]:
    """Make a function of a screen and flags a verb, with the flags that every verb takes."""

    @wraps(function)
    def run(**given: Any) -> None:
        screen = Screen(**{name: given.pop(name) for name in EVERY_VERB})
        with screen.ending():
            code = function(screen, **given)
            sys.stdout.flush()
            raise SystemExit(code or 0)

    hints = get_type_hints(function, include_extras=True)
    own = [p for name, p in inspect.signature(function).parameters.items() if name != "screen"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)
        for name, hint in EVERY_VERB.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
    run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*parameters, *added]}
    return app.command(name=function.__name__.strip("_"))(run)


class Style(StrEnum):
    """How `check` prints diagnostics."""

    full = "full"
    concise = "concise"
    json = "json"
    github = "github"


class Stage(StrEnum):
    """A stage of the compiler that `check --dump` shows."""

    ast = "ast"
    typed = "typed"
    graph = "graph"
    energy = "energy"


Program = Annotated[Path, typer.Argument(metavar="F.cg", help="The program.", show_default=False)]
RunFolderPath = Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.", show_default=False)]
DataFlag = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="NAME=FILE[:KEY]",
        help="Bind data: a file, one column or key of it, or one JSON or NPZ file with all.",
    ),
]
SetFlag = Annotated[list[str], typer.Option("--set", metavar="CONST=VALUE", help="Replace a const.")]
TrustFlag = Annotated[
    bool, typer.Option("--trust", help="Let the program run the code it names by `extern`.")
]
NOTHING: list[str] = []  # Typer reads it as a default, nobody changes it


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
    folder = out or Path(program.stem + ".out")
    screen.failure = dict.fromkeys(DOCUMENT) | {"program": str(program)}
    if device != "cpu":
        raise ComposeError(Diagnostic("CG0901", f"the device `{device}` is not built yet: there is `cpu`"))
    from compose_lang.compiler.parts import used_by
    from compose_lang.explanation import explain_block, explain_settings, plan_as_json
    from compose_lang.launch import earlier_settings, launch
    from compose_lang.launch import learn as learned_by
    from compose_lang.lessons import params_table
    from compose_lang.render import as_json
    from compose_lang.runtime.optimum import shown
    from compose_lang.runtime.summary import document

    earlier = earlier_settings(folder) if resume else {}
    model = _model(program, data, constants, trust, earlier.pop("set", {}))
    given = {
        "seed": seed, "chains": chains, "draws": draws, "warmup": warmup, "thin": thin, "method": method,
        "keep": None if keep is None else tuple(name.strip() for name in keep.split(",") if name.strip()),
        "backend": backend, "precision": precision,
    }  # fmt: skip
    settings = model.settings(**earlier | {name: value for name, value in given.items() if value is not None})
    with screen.learning() as learning:
        model.fitted(learning)
    screen.tell(model.lessons, screen.verbose)
    plan = model.plan(settings)
    screen.failure |= {
        "plan": plan_as_json(plan),
        "seed": settings.seed,
        "backend": settings.backend,
        "chains": settings.chains,
    }
    screen.say(explain_settings(settings, plan))
    for block in plan.told:
        screen.say(explain_block(block))
    screen.report(model.diagnostics)
    with screen.learning() as learning:
        lessons = learned_by(used_by(model.program.graph), learning)
    screen.tell(lessons, screen.verbose)
    params = model.program.params
    if params and not screen.json:
        print(params_table(params))
    if params and not plan.blocks:
        if screen.json:
            told = [as_json(d) for d in model.diagnostics]
            values = {name: value.tolist() for name, value in params.items()}
            screen.document(screen.failure | {"diagnostics": told, "params": values})
        screen.say("there is nothing to sample: all is data")
        return 0
    with screen.bars(settings) as watch:
        done, found = launch(
            model.program, plan, settings, lessons=lessons,
            constants=model.constants, out=folder, resume=resume, watch=watch, time_limit=time_limit,
        )  # fmt: skip
    if screen.json:
        learned = {"learned": [lesson.as_json() for lesson in lessons]} if lessons else {}
        screen.document({**document(done), **learned})
    elif done.draws:
        screen.out.print(shown(done, None if every else MOST_ROWS))
    findings = [finding for finding in found if finding not in model.diagnostics]
    screen.report(findings)
    status = done.manifest.status
    if status == "finished":
        what = "draws are" if done.optimum is None else "point is"
        screen.say(f"the {what} in {folder}: `compose export {folder} --to netcdf` for ArviZ and others")
    if any(finding.severity == "error" for finding in findings):
        return 1
    return ENDS.get(status) or (FAULTS if strict and findings else 0)


@verb
def check(
    screen: Screen,
    programs: Annotated[list[Path], typer.Argument(metavar="F.cg...", help="Programs.", show_default=False)],
    style: Annotated[Style, typer.Option("--format", help="How diagnostics are printed.")] = Style.full,
    dump: Annotated[Stage | None, typer.Option(help="Print what a stage of the compiler makes.")] = None,
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
) -> int:
    """Find errors and lints, without running anything."""
    from compose_lang.compiler.pipeline import without_data
    from compose_lang.dump import dump_stage
    from compose_lang.render import render

    found: list[Diagnostic] = []
    code = 0
    for path in programs:
        try:
            model = _model(path, data, constants, trust)
            found += model.diagnostics
            if dump:
                print(dump_stage(model.program, dump.value))
        except ComposeError as wrong:
            told = without_data(wrong.diagnostics)
            if any(diagnostic.severity == "error" for diagnostic in told):
                code = max(code, wrong.exit_code)
            found += told
    shown = Style.json if screen.json else style
    print(render(found, shown.value, in_colour(sys.stdout)), end="")
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    screen.say(f"programs: {len(programs)}, errors: {errors}, warnings and notes: {len(found) - errors}")
    return code


@verb
def fmt(
    screen: Screen,
    programs: Annotated[
        list[Path],
        typer.Argument(
            metavar="F.cg...", help="Programs, folders of them, or - for standard input.", show_default=False
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a layout would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> int:
    """Lay programs out in the canonical way; comments stay."""
    from compose_lang.fmt import STDIN, formatted, programs_in, write

    changed: list[str] = []
    found: list[Diagnostic] = []
    count = 0
    for path in programs_in(programs):
        count += 1
        try:
            done = formatted(path)
        except ComposeError as wrong:
            found += wrong.diagnostics
            continue
        if str(path) == STDIN and not (check or diff):
            print(done.after, end="")
        if not done.is_changed:
            continue
        changed.append(done.path)
        if diff and not screen.json:
            print(done.diff(), end="")
        if not (check or diff) and str(path) != STDIN:
            write(done)
    if screen.json:
        from compose_lang.render import as_json

        screen.document({"changed": changed, "diagnostics": [as_json(diagnostic) for diagnostic in found]})
    else:
        if not diff and STDIN not in map(str, programs):
            for name in changed:
                print(name)
        screen.report(found)
    screen.say(f"programs: {count}, {'to be changed' if check or diff else 'changed'}: {len(changed)}")
    return 1 if found or (changed and check) else 0


@verb
def explain(
    screen: Screen,
    what: Annotated[
        str, typer.Argument(metavar="F.cg | CODE", help="A program, or a code.", show_default=False)
    ],
    backend: Annotated[str | None, typer.Option(help="jax, torch or numpy [jax].")] = None,
    method: Annotated[str | None, typer.Option(help="One method for all variables.")] = None,
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
) -> None:
    """Explain a program's plan, or what a diagnostic's code means."""
    from compose_lang.explanation import explain_code

    if re.fullmatch(r"[A-Za-z]{2}\d{1,5}", what):
        text = explain_code(what.upper())
        screen.document({"code": what.upper(), "text": text}) if screen.json else print(text, end="")
        return
    model = _model(Path(what), data, constants, trust)
    settings = {"backend": backend, "method": method}
    if screen.json:
        from compose_lang.explanation import plan_as_json
        from compose_lang.lessons import parts_as_json

        plan = plan_as_json(model.plan(model.settings(**settings)))
        learned = {"learned": parts_as_json(model.program.parts)} if model.program.parts else {}
        screen.document({"program": what, "plan": plan, **learned})
    else:
        print(model.explain(**settings))
    screen.report(model.diagnostics)


@verb
def learn(
    screen: Screen,
    program: Program,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Write the weights there besides, for `load` to find."),
    ] = None,
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
) -> None:
    """Train a program's learned factors ahead; a run finds their weights."""
    from compose_lang.lessons import params_table, table
    from compose_lang.render import as_json

    screen.failure = {"program": str(program), "parts": []}
    model = _model(program, data, constants, trust)
    if not model.program.parts and model.program.fitting is None:
        text = f"there is nothing to learn: {program.name} declares no factor by `learn` or `load`"
        raise ComposeError(Diagnostic("CG0604", text))
    screen.report(model.diagnostics)
    with screen.learning() as learning:
        lessons = model.learn(out=out, learning=learning)
    screen.tell(lessons, is_all=True)
    if screen.json:
        found = [*model.diagnostics, *(f for lesson in lessons for f in lesson.findings)]
        parts = [lesson.as_json() for lesson in lessons]
        screen.document(screen.failure | {"parts": parts, "diagnostics": [as_json(d) for d in found]})
    else:
        screen.out.print(table(lessons))
        if model.program.params:
            print(params_table(model.program.params))


@verb
def graph(
    screen: Screen,
    program: Program,
    form: Annotated[str, typer.Option("--format", help="mermaid, dot, svg or png.")] = "mermaid",
    expand: Annotated[bool, typer.Option("--expand", help="A node for every site and instance.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write [screen].")] = None,
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
) -> None:
    """Draw a program's factor graph, with plates as plates."""
    from compose_lang.drawing import as_json, draw

    model = _model(program, data, constants, trust)
    if screen.json:
        screen.document(as_json(model.program.graph, expand))
        return
    picture = draw(model.program.graph, form, expand)
    content = picture if isinstance(picture, bytes) else picture.encode()
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        screen.write(output, content)


@verb
def summary(
    screen: Screen,
    folder: RunFolderPath,
    every: Annotated[bool, typer.Option("--all", help="Show every row.")] = False,
) -> None:
    """Summarise the draws of an earlier run."""
    from compose_lang.runtime.optimum import shown
    from compose_lang.runtime.samples import Run
    from compose_lang.runtime.summary import document

    done = Run.open(folder)
    if screen.json:
        screen.document(document(done))
        return
    screen.out.print(shown(done, None if every else MOST_ROWS))
    screen.report(done.findings())


@verb
def plot(
    screen: Screen,
    folder: RunFolderPath,
    names: Annotated[str | None, typer.Option(metavar="NAMES", help="What to draw, by commas [all].")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write [DIR/plots].")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="png or svg.")] = "png",
) -> None:
    """Draw pictures of an earlier run."""
    from compose_lang.plots import plot
    from compose_lang.runtime.samples import Run

    chosen = tuple(name.strip() for name in (names or "").split(",") if name.strip())
    made = [str(path) for path in plot(Run.open(folder), chosen, output or folder / "plots", form)]
    screen.document({"files": made}) if screen.json else print("\n".join(made))


@verb
def export(
    screen: Screen,
    folder: RunFolderPath,
    to: Annotated[str, typer.Option(help="netcdf, zarr, parquet or csv.")] = "netcdf",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write [DIR.nc ...].")] = None,
) -> None:
    """Write an earlier run's draws for ArviZ and other tools."""
    from compose_lang.export import export
    from compose_lang.runtime.samples import Run

    path = export(Run.open(folder), to, output)
    screen.document({"out": str(path)}) if screen.json else print(path)


@verb
def verify(
    screen: Screen,
    program: Program,
    replicates: Annotated[int, typer.Option(min=20, help="Data sets to draw and to infer from again.")] = 100,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the noise [0].")] = None,
    chains: Annotated[int | None, typer.Option(min=1, help="Number of chains [4].")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Draws a chain [1000].")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Sweeps before the first draw [1000].")] = None,
    method: Annotated[str | None, typer.Option(help="One method for all: hmc, 'mh(step=0.1)', auto.")] = None,
    backend: Annotated[str | None, typer.Option(help="jax, torch or numpy [jax].")] = None,
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
) -> int:
    """Test that a program is sampled as it says: against enumeration, or by calibration on simulated data."""
    from compose_lang.verify import table, verify

    model = _model(program, data, constants, trust)
    given = {
        "seed": seed,
        "chains": chains,
        "draws": draws,
        "warmup": warmup,
        "method": method,
        "backend": backend,
    }
    with screen.bars(model.settings(**given)) as watch:
        verdict = verify(model, replicates, watch, **given)
    if screen.json:
        screen.document({"program": str(program), **verdict.document()})
    else:
        screen.out.print(table(verdict))
        print(verdict.words)
    screen.report(verdict.findings)
    return 0 if verdict.passed else FAULTS


@verb
def repl(
    screen: Screen,
    program: Annotated[
        Path | None, typer.Argument(metavar="[F.cg]", help="A program to begin with.", show_default=False)
    ] = None,
) -> int:
    """Build and try a program interactively."""
    from compose_lang.repl.commands import Repl
    from compose_lang.repl.prompt import converse

    talk = Repl(screen=screen)
    if program is not None:
        talk.command(f"load {program}")
    return converse(talk)


@verb
def new(
    screen: Screen,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)],
) -> None:
    """Start a program: a small one with its data."""
    from compose_lang.starter import new

    made = new(folder)
    screen.document({"files": [str(path) for path in made]}) if screen.json else print(*made, sep="\n")
    screen.say(f"next: compose run {made[0]}")


@verb
def examples(
    screen: Screen,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One to copy out.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to [NAME].", show_default=False)
    ] = None,
) -> None:
    """List the examples, or copy one out to try it."""
    from compose_lang.starter import copy_example, examples

    if name is not None:
        path = copy_example(name, folder or Path(name))
        screen.document({"folder": str(path)}) if screen.json else print(path)
        return
    found = dict(examples())
    if screen.json:
        screen.document({"examples": found})
        return
    for each, about in found.items():
        print(f"{each:<16} {about}")
    screen.say("`compose examples NAME` copies one here")


@verb
def version(screen: Screen) -> None:
    """Print the version."""
    from compose_lang.installed import installed

    found = installed(["compose_lang"])["compose_lang"]
    screen.document({"version": found}) if screen.json else print(f"compose {found}")


@verb
def doctor(screen: Screen) -> None:
    """Find out what is installed."""
    from compose_lang.installed import examination

    found = examination()
    if screen.json:
        screen.document(found)
        return
    for name, value in found.items():
        print(f"{name:<20} {value or 'not installed'}")


def _model(
    program: Path,
    data: list[str],
    constants: list[str],
    trust: bool,
    earlier: Mapping[str, Any] | None = None,
) -> Model:
    """Compile a program with what the flags bind; constants of an earlier run hold where no flag sets them."""
    from compose_lang.api import compile, data_names
    from compose_lang.bindings import bound_constants, bound_data

    declared = data_names(program) if data else ()
    bound = {**(earlier or {}), **bound_constants(constants)}
    return compile(program, bound_data(data, declared), bound, trust)


def main() -> None:
    """The console script `compose`."""
    app()
