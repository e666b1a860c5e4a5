"""Verbs to begin with: repl, new, examples, version, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compose_lang.cli.verb import verb
from compose_lang.report.screen import Screen


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
    from compose_lang.cli.starter import new

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
    from compose_lang.cli.starter import copy_example, examples

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
