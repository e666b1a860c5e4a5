"""What `--data`, `--set` and `--method` say, as the values that the compiler and the planner take.

`--data NAME=FILE`, `NAME=FILE:KEY` for one column or key of it, or `FILE`, a JSON or NPZ file whose fields
are the data. Paths are relative to the working folder. `--set CONST=VALUE` takes numbers, true, false, lists,
text. `--method` takes what a program writes after `infer by`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from compose_lang.compiler.graph.factor_graph import Request
from compose_lang.compiler.sources.formats import read_file
from compose_lang.diagnostics import ComposeError, Diagnostic, Source, did_you_mean
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse

ALL_IN_ONE = (".json", ".npz")


def bound_data(flags: Sequence[str], declared: Iterable[str]) -> dict[str, Any]:
    """The data that the flags bind, by name; later flags beat earlier ones.

    declared: the program's data; other fields of a file with all are not read. Raises a ComposeError: CG0602
    for a flag of another form, CG0307 for a name that the program does not declare, CG0302 and CG0303 for
    files and fields that are not there.
    """
    found: dict[str, Any] = {}
    wanted = list(declared)
    for flag in flags:
        name, equals, rest = flag.partition("=")
        if equals and name.isidentifier():
            if name not in wanted:
                help = did_you_mean(name, wanted) or f"its data: {', '.join(wanted) or 'none'}"
                wrong = Diagnostic("CG0307", f"the program declares no data `{name}`", help=help)
                raise ComposeError(wrong, exit_code=2)
            path, key = _split_key(rest)
            found[name] = read_file(path, key, None)
        elif Path(flag).suffix.lower() in ALL_IN_ONE:
            path = Path(flag)
            there = _fields(path)
            found.update({field: read_file(path, field, None) for field in wanted if field in there})
        else:
            text = f"--data {flag}: it is written NAME=FILE, NAME=FILE:KEY, or one JSON or NPZ file with all"
            raise ComposeError(Diagnostic("CG0602", text), exit_code=2)
    return found


def bound_constants(flags: Sequence[str]) -> dict[str, Any]:
    """The constants that the flags set, by name."""
    found: dict[str, Any] = {}
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not equals or not name.strip().isidentifier():
            message = f"--set {flag}: it is written CONST=VALUE"
            raise ComposeError(Diagnostic("CG0602", message), exit_code=2)
        found[name.strip()] = _value(text.strip())
    return found


def requested(method: str) -> list[Request]:
    """What `--method` asks of the planner: `hmc` or `hmc(step=0.1)`; `auto` leaves the choice to it."""
    wrong = Diagnostic(
        "CG0602", f"`{method}` is not written as a method is: hmc, or hmc(step=0.1, leapfrog=10)"
    )
    try:
        statements = parse(Source("--method", f"infer by {method}")).statements
    except ComposeError:
        raise ComposeError(wrong, exit_code=2) from None
    match [statement.method for statement in statements if isinstance(statement, ast.Infer)]:
        case [ast.Name(id="auto")]:
            return []
        case [ast.Name(id=name)]:
            return [Request((), name, {}, None)]
        case [ast.Call(function=ast.Name(id=name), arguments=arguments, inputs=None)]:
            options = {
                argument.name: argument.value.value
                for argument in arguments
                if argument.name and isinstance(argument.value, ast.Number | ast.String)
            }
            if len(options) == len(arguments):
                return [Request((), name, options, None)]
            if any(argument.name == "proposal" for argument in arguments):
                text = "a proposal reads the program's names, so it is written in the program"
                help = "infer w by mh(proposal=Normal(w, 0.1))"
                raise ComposeError(Diagnostic("CG0602", text, help=help), exit_code=2)
    raise ComposeError(wrong, exit_code=2)


def _value(text: str) -> Any:
    try:
        return json.loads(re.sub(r"(?<=\d)_(?=\d)", "", text))
    except ValueError:
        return text


def _split_key(text: str) -> tuple[Path, str | None]:
    """`FILE:KEY` apart; a colon that belongs to the file's own name stays there."""
    if Path(text).exists() or ":" not in text:
        return Path(text), None
    file, _, key = text.rpartition(":")
    return (Path(file), key) if Path(file).suffix else (Path(text), None)


def _fields(path: Path) -> Sequence[str]:
    """The fields of a JSON object or an NPZ archive; none where the file is something else."""
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            read_file(path, None, None)  # says in its own words what is wrong with the file
            raise
        return list(content) if isinstance(content, dict) else []
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return list(archive.files)
    except (OSError, ValueError, EOFError):
        read_file(path, None, None)
        raise
