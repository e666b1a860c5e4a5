"""The header of a file of weights: what the weights are for, read without the weights and held to a declaration.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header, a JSON document. Ours
says under `__metadata__` what has been learned. Nothing in such a file can run code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net, Port, kind_of
from compose_lang.compiler.sources.formats import resolve_path
from compose_lang.diagnostics import Span, did_you_mean, fail
from compose_lang.discovery import LEARNERS
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
) -> LearnedFactor:
    """The part that a file holds the weights of: CG0309 where it is no such file, CG0310 where it is another's."""
    folder = folder_of(decl, ctx.session)
    if folder is None:
        fail("CG0302", "a program that is not in a file has no folder to load from", span)
    path = resolve_path(written, folder, span)
    description = read_description(path, span)
    for side, declared, learned in (
        ("subjects", subjects, description.subjects),
        ("inputs", inputs, description.inputs),
    ):
        if [(p.name, str(p.type)) for p in declared] != [(p.name, p.type) for p in learned]:
            ours, theirs = (
                ", ".join(f"{p.name}: {p.type}" for p in ports) or f"no {side}"
                for ports in (declared, learned)
            )
            text = f"{path.name} was learned with {theirs}, `{decl.name}` declares {ours}"
            fail("CG0310", text, span, help="declare it as it was learned")
    for port, other in zip(inputs, description.inputs, strict=True):
        if port.is_optional != other.is_optional:
            was = "optional" if other.is_optional else "not optional"
            text = f"{path.name} was learned with `{port.name}` {was}"
            help = f"declare {port.name}: {port.type}{' = none' if other.is_optional else ''}"
            fail("CG0310", text, span, help=help)
    if any(kind_of(p.type.domain) not in LEARNERS[description.method].domains for p in subjects):
        text = f"{path.name} is damaged: `{description.method}` does not learn {subjects[0].type}"
        fail("CG0309", text, span, help=LEARN_AGAIN)
    if decl.is_density and (description.together or not LEARNERS[description.method].normalised):
        text = f"`{decl.name}` is declared a density, but {path.name} was learned by `{description.method}`"
        help = "its energies are known up to a constant: declare it a factor"
        ctx.session.warn("CG0413", text, span, help=help)
    return LearnedFactor(
        decl.name, description.method, subjects, inputs, description.net, description.options, {}, span, file=path,
        together=description.together,
    )  # fmt: skip


def folder_of(decl: ast.FactorDecl, session: Session) -> Path | None:
    """The folder that a declaration's file stands in, which may be used by another program's."""
    name = decl.span.source.name
    return session.folder if name.startswith("<") else Path(name).parent


@dataclass(frozen=True)
class Learned:
    """A subject or input as a file describes it."""

    name: str
    type: str
    is_optional: bool


@dataclass(frozen=True)
class Description:
    """What a file of weights says of itself."""

    method: str
    subjects: tuple[Learned, ...]
    inputs: tuple[Learned, ...]
    net: Net | None
    options: dict[str, Any]
    together: bool  #: whether it was fitted with others


def described(written: str) -> Description:
    """The description in a header; a ValueError, KeyError or TypeError where it is none of ours."""
    header = json.loads(written)
    subjects, inputs = (
        tuple(Learned(str(p["name"]), str(p["type"]), bool(p["optional"])) for p in header[side])
        for side in ("subjects", "inputs")
    )
    learner = LEARNERS[header["method"]]
    options = {**learner.options, **header["options"]}  # an earlier version may not have known them all
    if set(options) != set(learner.options):
        raise ValueError("options that the method does not have")
    for name, default in learner.options.items():
        fits = isinstance(options[name], str) if isinstance(default, str) else is_number(options[name])
        if not fits and not (default is None and options[name] is None):
            raise ValueError(f"the option {name} is no {type(default).__name__}")
    net = None if header["net"] is None else parsed(header["net"])
    if (net is None) != (learner.net is None) or (net is not None and net.kind not in learner.nets):
        raise ValueError("a net that the method does not have")
    return Description(header["method"], subjects, inputs, net, options, header.get("together") is True)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parsed(text: str) -> Net:
    kind, _, sizes = text.rstrip(")").partition("(")
    return Net(kind, tuple(int(size) for size in sizes.split(",")))


def read_description(path: Path, span: Span | None) -> Description:
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
    except (ValueError, KeyError, AttributeError, TypeError, IndexError, RecursionError):
        fail("CG0309", f"{path.name} is damaged: its header cannot be read", span, help=LEARN_AGAIN)
    if size != 8 + length + end:
        text = f"{path.name} is damaged: it has {size:,} bytes, its header says {8 + length + end:,}"
        fail("CG0309", text, span, help="copy it again, or learn it again")
    if not isinstance(metadata, dict) or "compose" not in metadata:
        help = f"{LEARN_AGAIN}; weights of other programs come in through `extern`"
        fail("CG0309", f"{path.name} does not say what it has learned", span, help=help)
    try:
        return described(metadata["compose"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fail("CG0309", f"{path.name} is damaged: what it has learned cannot be read", span, help=LEARN_AGAIN)
