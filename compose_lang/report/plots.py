"""`compose plot`: pictures of a finished run, one for each recorded quantity (needs matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_VALUES = 20
MOST_ROWS = 60


def plot(run: Run, names: tuple[str, ...], folder: Path, form: str) -> list[Path]:
    """Draw the named quantities, or all, into a folder as `png` or `svg`; returns the files.

    A number has its draws' histogram beside its chains' paths, a finite one its values' shares, a vector its intervals,
    a grid the mean of each cell. Raises a ComposeError where a name is not known or matplotlib is missing.
    """
    if form not in ("png", "svg"):
        raise ComposeError(Diagnostic("CG0602", f"pictures are png or svg, not {form}"), exit_code=2)
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        help = 'install it: python -m pip install "compose_lang[plot]"'
        raise ComposeError(
            Diagnostic("CG0603", "pictures need the package `matplotlib`", help=help), exit_code=2
        ) from None
    columns = {column.name: column for column in run.columns}
    for name in names:
        if name not in columns:
            help = did_you_mean(name, columns) or f"the run recorded {', '.join(columns)}"
            raise ComposeError(Diagnostic("CG0307", f"the run recorded no `{name}`", help=help), exit_code=2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        text = f"{folder} cannot be written: {problem.strerror}"
        raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None
    made = []
    for name in names or columns:
        figure = Figure(figsize=(8, 4), layout="constrained")
        draw(figure, columns[name], run.values(columns[name]).astype(float))
        path = folder / f"{name}.{form}"
        figure.savefig(path)
        made.append(path)
    return made


def draw(figure: Figure, column: Column, values: NDArray[np.float64]) -> None:
    """One quantity's picture; values: (chains, draws, *full_shape)."""
    flat = values.reshape((-1, *values.shape[2:]))
    if flat.ndim == 1:
        left, right = figure.subplots(1, 2)
        shares(left, column, flat)
        for chain in values:
            right.plot(chain, linewidth=0.5)
        right.set_xlabel("draw")
        figure.suptitle(column.name)
        return
    axes = figure.subplots()
    if flat.ndim == 3:
        shown = axes.imshow(flat.mean(0), interpolation="nearest")
        figure.colorbar(shown, ax=axes, label="mean")
    else:
        intervals(axes, column, flat.reshape((len(flat), -1)))
    axes.set_title(column.name)


def shares(axes: Any, column: Column, x: NDArray[np.float64]) -> None:
    """The histogram of a number, or the shares of a finite one's values."""
    values = column.value_names(MOST_VALUES)
    if values is None:
        axes.hist(x[np.isfinite(x)], bins=50, density=True)
        axes.set_ylabel("density")
        return
    axes.bar(list(values), [(x == value).mean() for value in values.values()])
    axes.set_ylabel("share of the draws")


def intervals(axes: Any, column: Column, x: NDArray[np.float64]) -> None:
    """The medians, central halves and central 90 % of a vector's elements."""
    low, quarter, middle, three, high = np.quantile(x[:, :MOST_ROWS], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    places = np.arange(len(middle))
    axes.hlines(places, low, high, linewidth=1)
    axes.hlines(places, quarter, three, linewidth=3)
    axes.plot(middle, places, "o", color="black", markersize=3)
    axes.set_yticks(places, list(column.element_names(places)))
    axes.invert_yaxis()
    axes.set_xlabel("median, 50 % and 90 % of the draws")
