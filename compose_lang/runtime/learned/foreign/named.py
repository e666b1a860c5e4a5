"""The function that `extern("package.module:name")` means, on Python's path or beside the program."""

from __future__ import annotations

import importlib
import inspect
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NoReturn

from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean


def named(part: LearnedFactor) -> Any:
    """What a part's source names: CG0417 where there is nothing to be called.

    A class of modules, and a function without parameters, make it: they are called once.
    """
    place, _, name = part.source.partition(":")
    found: Any = imported(part, place)
    for each in name.split("."):
        if not hasattr(found, each):
            help = did_you_mean(each, [n for n in dir(found) if not n.startswith("_")])
            missing(part, f"`{place}` has no `{each}`", help or f"it was found in {where(found)}")
        found = getattr(found, each)
    if not callable(found):
        missing(part, f"`{part.source}` is {type(found).__name__}, not a function")
    if makes_it(found):
        try:
            made = found()
        except Exception as problem:
            missing(part, f"`{part.source}` cannot be made: {type(problem).__name__}: {problem}")
        if not callable(made):
            help = "a function without parameters makes the energy; else it takes batches of the subjects"
            missing(part, f"`{part.source}` makes {type(made).__name__}, not a function", help)
        return made
    return found


def imported(part: LearnedFactor, place: str) -> Any:
    """A module; its folder stays on Python's path, since what it imports late must be found as well."""
    if part.home is not None:
        folder = str(part.home.resolve())
        require_same(part, place.partition(".")[0], folder)
        if folder not in sys.path:
            sys.path.insert(0, folder)
            importlib.invalidate_caches()
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as problem:
        if problem.name is not None and f"{place}.".startswith(f"{problem.name}."):
            beside = [p.stem for p in part.home.glob("*.py")] if part.home is not None else []
            help = (
                did_you_mean(place, beside)
                or "a module is looked for on Python's path and beside the program"
            )
            missing(part, f"there is no module `{problem.name}`", help)
        missing(part, f"`{place}` needs the package `{problem.name}`, which is not installed")
    except (Exception, SystemExit) as problem:
        missing(part, f"`{place}` cannot be imported: {type(problem).__name__}: {problem}")


def require_same(part: LearnedFactor, top: str, folder: str) -> None:
    """Python knows a module by its name alone: one of the same name from elsewhere would be taken for ours."""
    spec = PathFinder.find_spec(top, [folder])
    known = sys.modules.get(top)
    if spec is None or spec.origin is None or known is None:
        return
    if where(known) != str(Path(spec.origin).resolve()):
        text = f"another module `{top}` is imported already: {where(known)}"
        missing(part, text, "give one of them another name")


def where(found: Any) -> str:
    path = getattr(found, "__file__", None)
    return str(Path(path).resolve()) if path else "Python itself"


def makes_it(found: Any) -> bool:
    """Whether it is a class, or a function without parameters: it makes what is called."""
    if isinstance(found, type):
        return True
    try:
        return not inspect.signature(found).parameters
    except (TypeError, ValueError):  # what is written in C may not tell
        return False


def missing(part: LearnedFactor, text: str, help: str = "") -> NoReturn:
    raise ComposeError(Diagnostic("CG0417", text, part.span, help=help))
