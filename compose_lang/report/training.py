"""What is said of learned parts: where their weights come from, before; what they have learned, after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.report.screen import shown
from compose_lang.runtime.learning.files import checkpoint_of, places

if TYPE_CHECKING:
    from rich.table import Table

    from compose_lang.compiler.graph.learned_factor import LearnedFactor
    from compose_lang.compiler.likelihood.fitting import Fitting
    from compose_lang.compiler.likelihood.partition_functions import LogPartition
    from compose_lang.runtime.learning.obtain import TrainedWeights


def state_of(part: LearnedFactor) -> tuple[str, Path | None]:
    """How a part stands: foreign, loaded, kept, begun or new; and the file of its weights, if there is one."""
    if part.is_foreign:
        return "foreign", None
    if part.file is not None:
        return "loaded", part.file
    found = places(part.joint or part)
    for path in found:
        if path.exists():
            return "kept", path
    return ("begun" if any(checkpoint_of(path).exists() for path in found) else "new"), None


def explain_parts(parts: Iterable[LearnedFactor]) -> str:
    """A line for each part: what it is, and where its weights come from. Nothing is trained for it."""
    lines = []
    for part in parts:
        state, path = state_of(part)
        words = {
            "foreign": f"foreign code, {part.source}",
            "loaded": f"loaded from {shown(path)}",
            "kept": f"learned already: {shown(path)}",
            "begun": "its training was cut short; the next run, or `compose learn`, goes on with it",
            "new": "to be learned by the first run, or by `compose learn`",
        }
        lines.append(f"  {part.name}: {', '.join([*what(part), words[state]])}")
    return "\n".join(["learned parts:", *lines]) if lines else ""


def explain_fit(fitting: Fitting | None) -> str:
    """How a program's params are fitted, and their values if they are known. Nothing is fitted for it."""
    if fitting is None:
        return ""
    from compose_lang.runtime.learning.fitted import kept

    found = kept(fitting)
    names = [v.name for v in fitting.graph.variables if v.free_sites and v.name not in fitting.fit.targets]
    how = f"EM over {', '.join(names)}" if names else "L-BFGS"
    if any(t.is_drawn for t in fitting.totals):
        how = "stochastic approximation" + (f" over {', '.join(names)}" if names else "")
    lines = [f"params by maximum likelihood, {how}, at most {fitting.options['steps']:,} steps:"]
    for v in fitting.graph.variables:
        if v.name in fitting.fit.targets:
            value = "to be fitted by the first run" if found is None else number(found.weights[v.name])
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


def what(part: LearnedFactor) -> list[str]:
    """Method, net, steps and rows, as far as a part has them."""
    found = [] if part.is_foreign else [part.method]
    if part.net is not None:
        found.append(str(part.net))
    if part.data:
        steps = f"{part.options['steps']:,} steps on " if "steps" in part.options else ""
        found.append(f"{steps}{rows_of(part):,} rows")
    return found


def rows_of(part: LearnedFactor) -> int:
    return len(next(iter(part.data.values())))


def parts_as_json(parts: Iterable[LearnedFactor]) -> list[dict[str, Any]]:
    """The same as JSON documents show it."""
    found = []
    for part in parts:
        state, path = state_of(part)
        found.append(
            {
                "name": part.name,
                "state": state,
                "method": part.method,
                "net": None if part.net is None else str(part.net),
                "rows": rows_of(part) if part.data else None,
                "steps": part.options.get("steps"),
                "weights": None if path is None else str(path),
            }
        )
    return found


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
