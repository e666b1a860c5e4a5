"""What a line of a session does: a cell, an expression, or one of the `:` commands in the table below."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_lang.api.bindings import bound_constants, bound_data
from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import ComposeError, Diagnostic, Source, did_you_mean
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse, read_source
from compose_lang.repl import pictures
from compose_lang.repl.session import Session, Value
from compose_lang.repl.values import ROWS, comment_of, show, signature
from compose_lang.report.screen import Screen

if TYPE_CHECKING:
    from compose_lang.runtime.learning.obtain import TrainedWeights


class Done(Exception):  # noqa: N818 - it ends the session, nothing is wrong
    """The user wants to leave."""


@dataclass(frozen=True)
class Command:
    usage: str
    what: str
    run: Callable[[Repl, str], None]


@dataclass
class Repl:
    """A session and the screen it talks to."""

    session: Session = field(default_factory=Session)
    screen: Screen = field(default_factory=Screen)

    def line(self, text: str) -> None:
        """Do what was entered. Raises a ComposeError where it cannot be done; the session stays as it was."""
        text = text.strip()
        if text.startswith(":"):
            self.command(text[1:])
        elif text.endswith("?") and text[:-1].strip():
            self.tell(text[:-1].strip())
        elif text:
            self.enter(text)

    def command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        found = COMMANDS.get(name) or COMMANDS.get(SHORT.get(name, ""))
        if found is None:
            help = did_you_mean(name, COMMANDS) or "`:help` lists the commands"
            raise ComposeError(Diagnostic("CG0602", f"there is no command `:{name}`", help=help))
        found.run(self, rest.strip())

    def enter(self, text: str) -> None:
        if is_expression(text):
            show(self.screen, text, self.value(text))
            return
        self.screen.report(self.session.enter(text))

    # --- values ---

    def value(self, text: str) -> Value:
        """What an expression comes to; parts that are still to be learned are learned first."""
        with self.screen.learning() as learning:
            return self.session.value(text, self.watch, learning)

    def watch(self, lanes: Sequence[Any]) -> None:
        """Draws of an expression are few: no bar."""

    def tell(self, text: str) -> None:
        """The signature of a name, and what the source says of it."""
        found = self.value(text).value
        print(signature(found))
        about = comment_of(found)
        if about:
            print(about)

    def parsed_options(self, text: str) -> dict[str, Any]:
        """`draws=500 method=hmc` as options of a run."""
        options: dict[str, Any] = {}
        for part in shlex.split(text):
            name, sign, value = part.partition("=")
            if not sign or name not in OPTIONS:
                help = did_you_mean(name, OPTIONS) or f"there are {', '.join(OPTIONS)}: `:sample draws=1000`"
                raise ComposeError(Diagnostic("CG0602", f"`{part}` is no option of :sample", help=help))
            try:
                options[name] = OPTIONS[name](value)
            except ValueError:
                raise ComposeError(Diagnostic("CG0602", f"`{name}` takes a number, not {value}")) from None
        return options


OPTIONS: dict[str, Callable[[str], Any]] = {
    "draws": int, "chains": int, "warmup": int, "thin": int, "seed": int, "method": str, "backend": str,
    "precision": str, "time_limit": float,
}  # fmt: skip


def is_expression(text: str) -> bool:
    """Whether a text is one expression that states nothing: no factor is applied by it."""
    try:
        module = parse(Source("<cell>", text))
    except ComposeError:
        return False
    if len(module.statements) != 1 or not isinstance(module.statements[0], ast.Apply):
        return False
    expr = module.statements[0].factor
    return not (isinstance(expr, ast.Call) and expr.inputs is not None and bool(expr.arguments))


# --- the commands -----------------------------------------------------------------------------------------


def _help(repl: Repl, text: str) -> None:
    width = max(len(c.usage) for c in COMMANDS.values())
    print("A statement adds a cell to the program; one that declares a name takes the place of the old one.")
    print("An expression prints its value, or its summary over draws. NAME? tells what a name is.")
    for command in COMMANDS.values():
        print(f"  {command.usage:<{width}}  {command.what}")


def _cells(repl: Repl, text: str) -> None:
    for cell in repl.session.cells:
        first, *rest = cell.text.splitlines()
        print(f"[{cell.number}] {first}")
        for line in rest:
            print(f"{'':{len(str(cell.number)) + 3}}{line}")


def _drop(repl: Repl, text: str) -> None:
    try:
        repl.session.drop(int(text))
    except (ValueError, KeyError):
        raise ComposeError(
            Diagnostic("CG0602", f"there is no cell `{text}`", help="`:cells` lists them")
        ) from None


def _undo(repl: Repl, text: str) -> None:
    print("undone" if repl.session.undo() else "there is nothing to undo")


def _sample(repl: Repl, text: str) -> None:
    options = repl.parsed_options(text)
    settings = repl.session.model().settings(**{k: v for k, v in options.items() if k != "time_limit"})
    _taught(repl)
    with repl.screen.bars(settings) as watch:
        run = repl.session.sample(watch, **options)
    if run.manifest.status != "finished":
        print(f"stopped: {run.draws} draws a chain are kept")
    _summary(repl, "")
    repl.screen.report(run.findings())


def _taught(repl: Repl) -> list[TrainedWeights]:
    """What the program's parts have learned, before the sampler's bars are drawn."""
    with repl.screen.learning() as learning:
        lessons = repl.session.model().learn(learning=learning)
    repl.screen.tell(lessons)
    return lessons


def _learn(repl: Repl, text: str) -> None:
    from compose_lang.report.training import table

    lessons = _taught(repl)
    if not lessons:
        raise ComposeError(
            Diagnostic("CG0604", "there is nothing to learn: no factor is declared by `learn`")
        )
    repl.screen.out.print(table(lessons))


def _summary(repl: Repl, text: str) -> None:
    from compose_lang.runtime.results.summary import table

    if repl.session.run is None:
        _taught(repl)
    run = repl.session.run or repl.session.sample()
    names = text.split()
    chosen = [s for s in run.summaries if not names or s.column.name in names]
    repl.screen.out.print(table(chosen, ROWS))


def _explain(repl: Repl, text: str) -> None:
    if re.fullmatch(r"[A-Za-z]{2}\d{1,5}", text):
        from compose_lang.report.explain import explain_code

        print(explain_code(text.upper()), end="")
        return
    print(repl.session.model().explain())


def _graph(repl: Repl, text: str) -> None:
    from compose_lang.report.picture import draw

    graph = repl.session.model().program.graph
    if text:
        path = Path(text)
        picture = draw(graph, path.suffix.lstrip(".") or "svg", False)
        repl.screen.write(path, picture if isinstance(picture, bytes) else picture.encode())
        print(text)
        return
    for v in graph.variables:
        print(f"{v.name}: {v.type}")
        for g in graph.groups:
            if v.name in g.variables:
                others = sorted(g.variables - {v.name})
                count = f" × {g.instances}" if g.instances > 1 else ""
                print(f"  └ {g.label}{count}" + (f" ─ {', '.join(others)}" if others else ""))


def _plot(repl: Repl, text: str) -> None:
    value = _drawn(repl, text, ":plot x")
    domain = value.value.domain
    values = None
    if domain is not None and domain.is_finite and len(domain.values) <= 20:
        names = domain.names or (
            [str(v == 1).lower() for v in (0, 1)] if domain.kind == "bool" else domain.values
        )
        values = {str(n): v for n, v in zip(names, domain.values, strict=True)}
    assert value.draws is not None
    print(pictures.picture(text, value.draws.astype(float), values))


def _trace(repl: Repl, text: str) -> None:
    value = _drawn(repl, text, ":trace x")
    assert value.draws is not None
    if value.draws.ndim != 2:
        raise ComposeError(
            Diagnostic("CG0203", f"a trace is of one number: {text} is {describe(value.value)}")
        )
    print(pictures.trace(value.draws.astype(float)))


def _drawn(repl: Repl, text: str, usage: str) -> Value:
    if not text:
        raise ComposeError(Diagnostic("CG0206", "what is to be plotted?", help=usage))
    value = repl.value(text)
    if value.draws is None:
        raise ComposeError(Diagnostic("CG0204", f"`{text}` does not depend on a variable: it has no draws"))
    return value


def _energy(repl: Repl, text: str) -> None:
    given = {}
    for part in re.split(r"[,\s]+(?=[\w.]+=)", text) if text else []:
        name, _, value = part.partition("=")
        found = repl.session.value(value or "none").value
        given[name.strip()] = found.value if isinstance(found, Node) else found
    print(repl.session.model().energy(given))


def _load(repl: Repl, text: str) -> None:
    path = Path(text).expanduser()
    source = read_source(path)
    before = repl.session.folder
    repl.session.folder = path.resolve().parent
    try:
        found = repl.session.enter(source.text)
    except BaseException:
        repl.session.folder = before
        raise
    repl.screen.report(found)


def _save(repl: Repl, text: str) -> None:
    if not text:
        raise ComposeError(Diagnostic("CG0206", "where to?", help=":save FILE.cg"))
    path = Path(text.removesuffix("!").strip()).expanduser()
    if path.exists() and not text.endswith("!"):
        raise ComposeError(Diagnostic("CG0707", f"{path} exists", help=f"`:save {path} !` writes over it"))
    repl.screen.write(path, repl.session.text.encode())
    print(path)


def _data(repl: Repl, text: str) -> None:
    model = parse(Source("<session>", repl.session.text))
    declared = [s.name for s in model.statements if isinstance(s, ast.Data)]
    repl.screen.report(repl.session.bind(bound_data(shlex.split(text), declared), {}))


def _set(repl: Repl, text: str) -> None:
    repl.screen.report(repl.session.bind({}, bound_constants(shlex.split(text))))


def _reset(repl: Repl, text: str) -> None:
    repl.session.reset()


def _program(repl: Repl, text: str) -> None:
    print(repl.session.text, end="")


def _quit(repl: Repl, text: str) -> None:
    raise Done


COMMANDS: dict[str, Command] = {
    "help": Command(":help", "this list", _help),
    "sample": Command(":sample [draws=N …]", "draw from the program, and summarise", _sample),
    "learn": Command(":learn", "train the learned factors ahead", _learn),
    "summary": Command(":summary [NAMES]", "summarise the draws", _summary),
    "plot": Command(":plot X", "a picture of an expression's draws", _plot),
    "trace": Command(":trace X", "the chains' paths", _trace),
    "explain": Command(
        ":explain [CODE]", "how the program is sampled and why, or what a code means", _explain
    ),
    "graph": Command(":graph [FILE]", "the factors on each variable, or a drawing (.svg .png .dot)", _graph),
    "energy": Command(":energy x=1 y=2", "the program's energy at a point", _energy),
    "program": Command(":program", "the program as it stands", _program),
    "cells": Command(":cells", "what was entered", _cells),
    "drop": Command(":drop N", "take a cell out", _drop),
    "undo": Command(":undo", "take back the last change", _undo),
    "reset": Command(":reset", "begin anew (`:undo` takes it back)", _reset),
    "load": Command(":load FILE.cg", "add a program's statements", _load),
    "save": Command(":save FILE.cg", "write the program", _save),
    "data": Command(":data NAME=FILE[:KEY]", "bind data", _data),
    "set": Command(":set CONST=VALUE", "replace a const", _set),
    "quit": Command(":quit", "leave; so does Ctrl-D", _quit),
}
SHORT = {"q": "quit", "h": "help", "exit": "quit", "?": "help", "s": "sample", "u": "undo", "l": "load"}
