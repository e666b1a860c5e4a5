"""What a run found, in numbers: a row per scalar for the screen, for `summary.json` and for `--json`.

In: the draws of a run. Out: arrays over the elements of each column, from which rows and the table are made. Angles are
summarised on the circle (Mardia and Jupp, Directional Statistics, 2000, section 2.3): the mean direction, the
circular standard deviation, quantiles of the deviation from the mean direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.convergence import convergence
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.results.genealogy import worth

if TYPE_CHECKING:
    from rich.table import Table

QUANTILES = {"q5": 0.05, "q50": 0.5, "q95": 0.95}
INTERVAL = "q5 and q95 bound the central 90 % of the draws"
MOST_ROWS = 200
MOST_VALUES = 20  #: a finite variable of more values has no probability for each

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnSummary:
    """The summary of a column's free elements."""

    column: Column
    elements: NDArray[np.intp]  #: flat indices, (n,)
    measures: dict[str, Numbers]  #: by the names of the JSON document, each (n,)
    probabilities: dict[str, Numbers] | None  #: of each value, by name, each (n,)


def summarise(run: StoredDraws) -> list[ColumnSummary]:
    """Summarise every column, variables before lets; observed elements are left out."""
    ordered = sorted(run.columns, key=lambda column: column.is_let)
    roots = run.statistics.get("root")
    roots = None if roots is None else roots.astype(np.intp)
    return [summarise_column(column, run.values(column), roots) for column in ordered if column.free.size]


def summarise_column(
    column: Column, values: NDArray[Any], roots: NDArray[np.intp] | None = None
) -> ColumnSummary:
    """Summarise a column's draws (chains, draws, *full_shape).

    roots: which particle each descends from, (chains, draws), where chains are populations.
    """
    elements = column.free
    chains, draws = values.shape[:2]
    x = values.reshape(chains, draws, column.size)[:, :, elements].astype(np.float64)
    measures = _circular(x, roots) if column.type.domain.kind == "angle" else _moments(x, roots)
    names = column.value_names(MOST_VALUES)
    probabilities = None
    if names is not None and draws:
        probabilities = {name: (x == value).mean((0, 1)) for name, value in names.items()}
    return ColumnSummary(column, elements, measures, probabilities)


def _moments(x: Numbers, roots: NDArray[np.intp] | None) -> dict[str, Numbers]:
    chains, draws, n = x.shape
    nothing = np.full(n, np.nan)
    mean = x.mean((0, 1)) if draws else nothing
    sd = x.std((0, 1), ddof=1) if chains * draws > 1 else nothing
    quantiles = np.quantile(x, list(QUANTILES.values()), axis=(0, 1)) if draws else [nothing] * 3
    found = convergence(x) if roots is None else worth(x, roots)
    return {
        "mean": mean, "sd": sd, **dict(zip(QUANTILES, quantiles, strict=True)), "mcse_mean": found.mcse_mean,
        "ess_bulk": found.ess_bulk, "ess_tail": found.ess_tail, "rhat": found.rhat,
    }  # fmt: skip


def _circular(x: Numbers, roots: NDArray[np.intp] | None) -> dict[str, Numbers]:
    """Moments of angles, taken around their mean direction."""
    if not x.shape[1]:
        return _moments(x, roots)
    resultant = np.exp(1j * x).mean((0, 1))
    direction = np.angle(resultant)
    with np.errstate(divide="ignore"):  # opposite angles: no direction, an infinite deviation
        sd = np.sqrt(-2 * np.log(np.minimum(np.abs(resultant), 1.0)))
    around = _moments(_wrapped(x - direction), roots)
    quantiles = {name: _wrapped(around[name] + direction) for name in QUANTILES}
    return {**around, "mean": direction, "sd": sd, **quantiles}


def _wrapped(angle: Numbers) -> Numbers:
    """The same angle in (-pi, pi]."""
    return math.pi - np.mod(math.pi - angle, 2 * math.pi)


def measured(
    summaries: Sequence[ColumnSummary], measure: str, worst: Callable[[Iterable[float]], float]
) -> float:
    """The largest (`max`) or least (`min`) of a measure over all elements that have one; NaN where none has."""
    values = [x for s in summaries for x in s.measures[measure].tolist() if math.isfinite(x)]
    return worst(values) if values else math.nan


def rows(summaries: Sequence[ColumnSummary], most: int | None = None) -> dict[str, dict[str, Any]]:
    """A row per scalar, by element name, in plain numbers; what is not finite is None."""
    return dict(islice(_rows(summaries), most))


def count(summaries: Sequence[ColumnSummary]) -> int:
    """How many rows there are in all."""
    return sum(summary.elements.size for summary in summaries)


def _rows(summaries: Sequence[ColumnSummary]) -> Iterator[tuple[str, dict[str, Any]]]:
    for summary in summaries:
        measures = {name: values.tolist() for name, values in summary.measures.items()}
        chances = {name: values.tolist() for name, values in (summary.probabilities or {}).items()}
        for i, name in enumerate(summary.column.element_names(summary.elements)):
            row: dict[str, Any] = {key: _number(values[i]) for key, values in measures.items()}
            if chances:
                row["p"] = {key: values[i] for key, values in chances.items()}
            yield name, row


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def table(
    summaries: Sequence[ColumnSummary], most: int | None = MOST_ROWS, remedy: str = "--all shows them"
) -> Table:
    """The summary as a table for the screen, cut at `most` rows with a note that says so and how to see more."""
    from rich.table import Table

    shown = rows(summaries, most)
    measures = ["mean", "sd", *QUANTILES, "mcse_mean", "ess_bulk", "ess_tail", "rhat"]
    probable = any("p" in row for row in shown.values())
    hidden = count(summaries) - len(shown)
    note = INTERVAL + (f"\n{hidden} more rows: {remedy}" if hidden else "")
    result = Table(box=None, caption=note, caption_justify="left", pad_edge=False, collapse_padding=True)
    result.add_column("", no_wrap=True)
    for name in measures:
        result.add_column(name.removesuffix("_mean"), justify="right", no_wrap=True)
    if probable:
        result.add_column("p")
    for name, row in shown.items():
        cells = [_cell(measure, row[measure]) for measure in measures]
        chances = "  ".join(f"{key}: {value:.2f}" for key, value in row.get("p", {}).items())
        result.add_row(name, *cells, *([chances] if probable else []))
    return result


def _cell(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    if measure.startswith("ess"):
        return f"{value:.0f}"
    return f"{value:.3f}" if measure == "rhat" and value < 100 else f"{value:.3g}"
