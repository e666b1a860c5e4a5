"""Weights where the user wants them: one file, or a folder with a file of each part's name, for `load` to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compose_lang.compiler.elaborate.learned.weights_header import ENDING
from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.learning import weights
from compose_lang.runtime.learning.obtain import TrainedWeights


def targets(out: Path, parts: Sequence[LearnedFactor]) -> dict[str, Path]:
    """The file of each part that is learned, by its name; loaded ones and functions stay where they are."""
    own = [p for p in parts if p.file is None and not p.is_foreign and p.out is None]
    names = [part.name for part in own]
    if out.suffix.lower() == ENDING and not out.is_dir():
        return dict.fromkeys(names, out)
    return {name: out / f"{name}{ENDING}" for name in names}


def require_room(out: Path, parts: Sequence[LearnedFactor]) -> None:
    """A ComposeError (exit code 2), before anything is learned, where the weights could not be written there."""
    found = targets(out, parts)
    if len(found) > 1 and len(set(found.values())) == 1:
        text = f"{out} is one file, and the program learns {', '.join(found)}"
        help = "name a folder: each gets a file of its name there"
        raise ComposeError(Diagnostic("CG0707", text, help=help), exit_code=2)
    if found and out.suffix and out.suffix.lower() != ENDING and not out.is_dir():
        text = f"weights are written to files that end in {ENDING}, or to a folder: {out} is neither"
        raise ComposeError(Diagnostic("CG0707", text), exit_code=2)
    for path in found.values():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            text = f"{path.parent} cannot be written: {problem.strerror or problem}"
            raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None


def export(out: Path, lessons: Sequence[TrainedWeights]) -> list[TrainedWeights]:
    """Write what was learned; the lessons then name those files."""
    found = targets(out, [lesson.part for lesson in lessons if isinstance(lesson.part, LearnedFactor)])
    for lesson in lessons:
        if lesson.name in found:
            weights.write(found[lesson.name], lesson.part, lesson.weights, lesson.report)
    return [replace(each, path=found.get(each.name, each.path)) for each in lessons]
