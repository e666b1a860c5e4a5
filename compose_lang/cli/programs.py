"""Verbs on a program that do not run it: check, fmt, explain, learn, graph, verify."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
from compose_lang.report.screen import Screen, in_colour


class Style(StrEnum):
    """How `check` prints diagnostics."""

    full = "full"
    concise = "concise"
    json = "json"
    github = "github"


@verb
def check(
    screen: Screen,
    programs: Annotated[list[Path], typer.Argument(metavar="F.cg...", help="Programs.", show_default=False)],
    style: Annotated[Style, typer.Option("--format", help="How diagnostics are printed.")] = Style.full,
    dump: Annotated[
        str,
        typer.Option(
            metavar="STAGE",
            help="Print what a stage of the compiler makes: ast, typed, graph, energy; after:PASS, the graph that"
            " a pass leaves; or passes, their list.",
            show_default=False,
        ),
    ] = "",
    data: DataFlag = NOTHING,
    constants: SetFlag = NOTHING,
    trust: TrustFlag = False,
) -> int:
    """Find errors and lints, without running anything."""
    from compose_lang.api.check import without_data
    from compose_lang.report.render import render

    found: list[Diagnostic] = []
    code = 0
    if dump:
        from compose_lang.report.dump import check_stage, dump_stage, list_passes
    if dump == "passes":
        print(list_passes())
        dump = ""
    elif dump:
        check_stage(dump)
    for path in programs:
        try:
            model = model_of(path, data, constants, trust)
            found += [*model.diagnostics, *model.warnings_ahead(folder_of(path))]
            if dump:
                print(dump_stage(model.program, dump))
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
    from compose_lang.cli.fmt import STDIN, formatted, programs_in, write

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
        from compose_lang.report.render import as_json

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
    from compose_lang.report.explain import explain_code

    if re.fullmatch(r"[A-Za-z]{2}\d{1,5}", what):
        text = explain_code(what.upper())
        screen.document({"code": what.upper(), "text": text}) if screen.json else print(text, end="")
        return
    model = model_of(Path(what), data, constants, trust)
    settings = {"backend": backend, "method": method}
    if screen.json:
        from compose_lang.report.explain import plan_as_json
        from compose_lang.report.training import parts_as_json

        plan = plan_as_json(model.plan(model.settings(**settings)))
        learned = {"learned": parts_as_json(model.program.parts)} if model.program.parts else {}
        screen.document({"program": what, "plan": plan, **learned})
    else:
        print(model.explain(**settings))
    screen.report([*model.diagnostics, *model.warnings_ahead(folder_of(Path(what)), **settings)])


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
    from compose_lang.report.render import as_json
    from compose_lang.report.training import params_table, table

    screen.failure = {"program": str(program), "parts": []}
    model = model_of(program, data, constants, trust)
    if not model.program.parts and model.program.fitting is None:
        text = f"there is nothing to learn: {program.name} declares no factor by `learn` or `load`"
        raise ComposeError(Diagnostic("CG0604", text))
    screen.report(model.diagnostics)
    with screen.learning() as learning:
        lessons = model.learn(out=out, learning=learning)
    model = model.fitted()
    screen.tell(lessons, is_all=True)
    if screen.json:
        found = [*model.diagnostics, *(f for lesson in lessons for f in lesson.findings)]
        parts = [lesson.as_json() for lesson in lessons]
        screen.document(screen.failure | {"parts": parts, "diagnostics": [as_json(d) for d in found]})
    else:
        screen.out.print(table(lessons))
        if model.params:
            print(params_table(model.params))


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
    from compose_lang.report.picture import as_json, draw

    model = model_of(program, data, constants, trust)
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
    from compose_lang.validation.verify import table, verify

    model = model_of(program, data, constants, trust)
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
