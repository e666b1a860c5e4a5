"""What is said of learned parts: where their weights come from, before; what they have learned, after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.report.screen import shown
from compose_lang.runtime.learning.files import checkpoint_of, places
from compose_lang.runtime.learning.obtain import TrainedWeights, kept

if TYPE_CHECKING:
    from rich.table import Table

    from compose_lang.compiler.graph.learned_factor import LearnedFactor
    from compose_lang.compiler.likelihood.fitting import Fitting
    from compose_lang.compiler.likelihood.partition_functions import LogPartition


def state_of(part: LearnedFactor) -> tuple[str, Path | None]:
    """How a part stands: foreign, loaded, kept, begun or new; and the file of its weights, if there is one."""
    if part.is_foreign:
        return "foreign", None
    if part.file is not None:
        return "loaded", part.file
    paths = places(part.joint or part)
    for path in paths:
        if path.exists():
            return "kept", path
    return ("begun" if any(checkpoint_of(path).exists() for path in paths) else "new"), None


def explain_parts(parts: Sequence[LearnedFactor]) -> str:
    """A line for each part: what it is, and where its weights come from. Nothing is trained for it."""
    lines = []
    for part, row in zip(parts, parts_as_json(parts), strict=True):
        words = {
            "foreign": f"foreign code, {part.source}",
            "loaded": f"loaded from {shown(part.file)}",
            "kept": f"learned already: {shown(state_of(part)[1])}",
            "begun": "its training was cut short; the next run, or `compose learn`, goes on with it",
            "new": "to be learned by the first run, or by `compose learn`",
        }
        steps = "" if row["steps"] is None else f"{row['steps']:,} steps on "
        rows = None if row["rows"] is None else f"{steps}{row['rows']:,} rows"
        what = [None if part.is_foreign else row["method"], row["net"], rows, words[row["state"]]]
        lines.append(f"  {part.name}: {', '.join(word for word in what if word is not None)}")
    return "\n".join(["learned parts:", *lines]) if lines else ""


def parts_as_json(parts: Iterable[LearnedFactor]) -> list[dict[str, Any]]:
    """The same as JSON documents show it."""
    rows = []
    for part in parts:
        state, path = state_of(part)
        rows.append(
            {
                "name": part.name,
                "state": state,
                "method": part.method,
                "net": None if part.net is None else str(part.net),
                "rows": len(next(iter(part.data.values()))) if part.data else None,
                "steps": part.options.get("steps"),
                "weights": None if path is None else str(path),
            }
        )
    return rows


def explain_fit(fitting: Fitting | None) -> str:
    """How a program's params are fitted, and their values if they are known. Nothing is fitted for it."""
    if fitting is None:
        return ""
    known = kept(fitting)
    names = [v.name for v in fitting.graph.variables if v.free_sites and v.name not in fitting.fit.targets]
    how = f"EM over {', '.join(names)}" if names else "L-BFGS"
    if any(t.is_drawn for t in fitting.totals):
        how = "stochastic approximation" + (f" over {', '.join(names)}" if names else "")
    lines = [f"params by maximum likelihood, {how}, at most {fitting.options['steps']:,} steps:"]
    for v in fitting.graph.variables:
        if v.name in fitting.fit.targets:
            value = "to be fitted by the first run" if known is None else number(known.weights[v.name])
            lines.append(f"  {v.name}: {v.type}, {value}")
    lines += [explain_total(t) for t in fitting.totals if t.names]
    return "\n".join(lines)


def explain_total(total: LogPartition) -> str:
    """How a total that the likelihood is divided by is found."""
    over = f"  divided by the total over {', '.join(total.names)}"
    if total.count > 1:
        over += f", one of {total.count:,} copies"
    if total.exact is not None:
        return f"{over}, summed exactly: {total.exact.words}"
    return f"{over}, from persistent chains of the model, with their noise: {total.why}"


def number(value: np.ndarray) -> str:
    """A value in a line: all of it, or its first numbers."""
    flat = [f"{x:.6g}" for x in value.reshape(-1)[:8]]
    if not value.shape:
        return flat[0]
    more = f", … {value.size - len(flat):,} more" if value.size > len(flat) else ""
    return f"[{', '.join(flat)}{more}]"


def params_table(params: Mapping[str, np.ndarray]) -> str:
    """A line for each param that was fitted."""
    return "\n".join(f"{name} = {number(value)}" for name, value in params.items())


HOW = {"kept": "before", "loaded": "loaded", "learned": "now"}


def table(lessons: Sequence[TrainedWeights]) -> Table:
    """A row for each part."""
    from rich.table import Table

    found = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("part", "method", "net"):
        found.add_column(name, no_wrap=True)
    for name in ("rows", "steps", "held-out", "learned"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("weights", overflow="fold")
    for lesson in lessons:
        part = lesson.part
        found.add_row(
            part.name,
            part.method,
            "" if part.net is None else str(part.net),
            "" if lesson.rows is None else f"{lesson.rows:,}",
            "" if lesson.steps is None else f"{lesson.steps:,}",
            "" if lesson.held_out is None else f"{lesson.held_out:.4g}",
            HOW[lesson.how] if lesson.seconds is None else f"{lesson.seconds:.1f} s",
            shown(lesson.path),
        )
    return found
