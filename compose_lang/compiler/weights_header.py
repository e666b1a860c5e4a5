"""The header of a file of weights: what the weights are for, read without the weights and held to a declaration.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header, a JSON document. Ours
says under `__metadata__` what has been learned. Nothing in such a file can run code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compose_lang.compiler.context import Context, fail
from compose_lang.compiler.files import resolve_path
from compose_lang.compiler.parts import Net, Part, Port
from compose_lang.diagnostics import Span, did_you_mean
from compose_lang.grammar import ast

ENDING = ".safetensors"
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
LONGEST_HEADER = 10**7
LEARN_AGAIN = "`compose learn` writes such files"


def part_of_file(
    ctx: Context,
    decl: ast.FactorDecl,
    written: str,
    subjects: tuple[Port, ...],
    inputs: tuple[Port, ...],
    span: Span,
) -> Part:
    """The part that a file holds the weights of: CG0309 where it is no such file, CG0310 where it is another's."""
    if ctx.session.folder is None:
        fail("CG0302", "a program that is not in a file has no folder to load from", span)
    path = resolve_path(written, ctx.session.folder, span)
    description = read_description(path, span)
    theirs = {
        side: {p["name"]: p["type"] for p in description.get(side, ())} for side in ("subjects", "inputs")
    }
    for side, ports in (("subjects", subjects), ("inputs", inputs)):
        ours = {p.name: str(p.type) for p in ports}
        if ours != theirs[side]:
            shown = [
                ", ".join(f"{n}: {t}" for n, t in found.items()) or "none" for found in (theirs[side], ours)
            ]
            text = f"{path.name} was learned with the {side} {shown[0]}, `{decl.name}` declares {shown[1]}"
            fail("CG0310", text, span, help="declare it as it was learned")
    net = description.get("net")
    return Part(
        decl.name,
        description["method"],
        subjects,
        inputs,
        None if net is None else parsed(net),
        description.get("options", {}),
        {},
        span,
        file=path,
    )


def parsed(text: str) -> Net:
    kind, _, sizes = text.rstrip(")").partition("(")
    return Net(kind, tuple(int(size) for size in sizes.split(",")))


def read_description(path: Path, span: Span | None) -> dict[str, Any]:
    """What a file of weights is for."""
    if path.suffix.lower() in PICKLES:
        text = f"{path.name} is a pickle, or may be: loading it could run any code"
        fail("CG0309", text, span, help=f"weights are loaded from {ENDING} files; {LEARN_AGAIN}")
    if path.suffix.lower() != ENDING:
        fail(
            "CG0309", f"{path.name} is no file of weights", span, help=f"they end in {ENDING}; {LEARN_AGAIN}"
        )
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            written = file.read(length) if length <= LONGEST_HEADER else b""
        size = path.stat().st_size
    except FileNotFoundError:
        beside = [p.name for p in path.parent.glob("*" + ENDING)] if path.parent.is_dir() else []
        help = did_you_mean(path.name, beside) or "`load` looks beside the program"
        fail("CG0302", f"there is no file {path.name}", span, help=help)
    except OSError as problem:
        fail("CG0302", f"{path.name} cannot be read: {problem.strerror or problem}", span)
    try:
        header = json.loads(written.decode())
        metadata = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, AttributeError, TypeError, IndexError):
        fail("CG0309", f"{path.name} is damaged: its header cannot be read", span, help=LEARN_AGAIN)
    if size != 8 + length + end:
        text = f"{path.name} is damaged: it has {size:,} bytes, its header says {8 + length + end:,}"
        fail("CG0309", text, span, help="copy it again, or learn it again")
    if not isinstance(metadata, dict) or "compose" not in metadata:
        help = f"{LEARN_AGAIN}; weights of other programs come in through `extern`"
        fail("CG0309", f"{path.name} does not say what it has learned", span, help=help)
    try:
        description: dict[str, Any] = json.loads(metadata["compose"])
        description["method"], description["subjects"]
        return description
    except (ValueError, KeyError, TypeError):
        fail("CG0309", f"{path.name} is damaged: what it has learned cannot be read", span, help=LEARN_AGAIN)
