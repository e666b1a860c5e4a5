"""Verbs on the folder of an earlier run: summary, plot, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compose_lang.cli.verb import verb
from compose_lang.report.screen import Screen

RunFolderPath = Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.", show_default=False)]


@verb
def summary(
    screen: Screen,
    folder: RunFolderPath,
    every: Annotated[bool, typer.Option("--all", help="Show every row.")] = False,
) -> None:
    """Summarise the draws of an earlier run."""
    from compose_lang.runtime.results.run import Run

    done = Run.open(folder)
    if screen.json:
        screen.document(done.document())
        return
    screen.out.print(done.table(every))
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
    from compose_lang.report.plots import plot
    from compose_lang.runtime.results.run import Run

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
    from compose_lang.report.export import export
    from compose_lang.runtime.results.run import Run

    path = export(Run.open(folder), to, output)
    screen.document({"out": str(path)}) if screen.json else print(path)
