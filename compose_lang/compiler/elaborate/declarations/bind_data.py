"""Data: what a `data` declaration reads, or is given from outside, as a constant of its type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.named_values import evaluate_as
from compose_lang.compiler.elaborate.values import DeclaredType, Texts, as_node, describe
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import INT, Type
from compose_lang.compiler.sources.convert import bind_data
from compose_lang.compiler.sources.formats import RawData, read_file, resolve_path
from compose_lang.diagnostics import ComposeError, Label, fail
from compose_lang.grammar import ast


def bind(ctx: Context, decl: ast.Data, declared: DeclaredType) -> Node | Texts:
    """The value of a `data` declaration: from outside if it is given there, else what the program says."""
    session = ctx.session
    if declared.lower is not None or declared.upper is not None:
        fail("CG0208", "the bounds of data must be numbers known at compile time", decl.type.span)
    if decl.name in session.data:
        given = session.data[decl.name]
        if isinstance(given, RawData) and given.sha256:
            session.hashes[session.prefix + decl.name] = given.sha256
        array = bind_data(given, declared.type, decl.name, decl.span, f"the value given for {decl.name}")
        return as_constant(array, declared.type)
    if decl.value is None:
        help = f"bind it: --data {decl.name}=FILE, or `= read(…)` in the program"
        fail("CG0301", f"data `{decl.name}` has no value", decl.span, help=help)
    if (
        isinstance(decl.value, ast.Call)
        and isinstance(decl.value.function, ast.Name)
        and decl.value.function.id == "read"
    ):
        raw = read(ctx, decl.value)
        session.hashes[session.prefix + decl.name] = raw.sha256
        with declared_at(decl):
            array = bind_data(raw, declared.type, decl.name, decl.value.span)
        session.origins[decl.name] = f"{raw.origin}: {len(array)} rows" if array.ndim else raw.origin
        return as_constant(array, declared.type)
    if declared.type.domain.kind == "text":
        texts = texts_of(decl.value)
        return as_constant(bind_data(texts, declared.type, decl.name, decl.value.span), declared.type)
    refuse_text(decl.value)
    value = as_node(evaluate_as(ctx, decl.value, declared.type.domain), decl.value.span)
    if value.value is None or value.axes:
        fail("CG0208", f"data must be known at compile time: this is {describe(value)}", decl.value.span)
    with declared_at(decl):
        array = bind_data(value.value, declared.type, decl.name, decl.value.span, f"the value of {decl.name}")
    return as_constant(array, declared.type)


@contextmanager
def declared_at(decl: ast.Data) -> Iterator[None]:
    """Marks the declared type in what is reported of a value that is not of it."""
    try:
        yield
    except ComposeError as wrong:
        labels = (Label(decl.type.span, "declared here"),)
        diagnostics = [
            replace(d, labels=labels, help="" if d.help.startswith(f"{decl.name} is declared") else d.help)
            if d.code in ("CG0203", "CG0304") and d.span is not None
            else d
            for d in wrong.diagnostics
        ]
        raise ComposeError(diagnostics, wrong.exit_code) from None


def texts_of(written: ast.Expr) -> str | list[str]:
    """The text, or the list of texts, that an expression writes out."""
    if isinstance(written, ast.String):
        return written.value
    items = written.items if isinstance(written, ast.Array) else ()
    texts = [item.value for item in items if isinstance(item, ast.String)]
    if not items or len(texts) < len(items):
        fail("CG0204", 'text data is written `"a"` or `["a", "b"]`, or read', written.span)
    return texts


def refuse_text(written: ast.Expr) -> None:
    """Text in place of a value: a file that is not read, a named value in quotes."""
    if isinstance(written, ast.String):
        help = f'read the file: `read({written.span.text}, "column")`'
        fail("CG0204", "a text is no data", written.span, help=help)
    for item in written.items if isinstance(written, ast.Array) else ():
        if isinstance(item, ast.String):
            help = f"a named value is written without quotes: `{item.value}`"
            fail("CG0204", "a text is no value of an array", item.span, help=help)


def as_constant(array: np.ndarray, type: Type) -> Node | Texts:
    """A constant that remembers its domain."""
    if type.domain.kind == "text":
        return Texts(array)
    return constant(array, dtype="bool" if type.domain.kind == "bool" else None, domain=type.domain)


def read(ctx: Context, e: ast.Call) -> RawData:
    """`read(file)` or `read(file, column_or_key)`, relative to the program's folder."""
    values = [ctx.evaluate(a.value) for a in e.arguments]
    if (
        not 1 <= len(values) <= 2
        or not all(isinstance(v, str) for v in values)
        or any(a.name for a in e.arguments)
    ):
        fail("CG0206", 'read takes a file and optionally a column or key: read("file.csv", "column")', e.span)
    if ctx.session.folder is None:
        help = "give the data from outside instead"
        fail("CG0302", "a program that is not in a file has no folder to read from", e.span, help=help)
    path: Path = resolve_path(values[0], ctx.session.folder, e.span)
    return read_file(path, values[1] if len(values) == 2 else None, e.span)


def read_table(ctx: Context, e: ast.Call) -> np.ndarray:
    """A whole file as a table of integers."""
    return bind_data(read(ctx, e), Type(INT, (-1, -1)), "edges", e.span)
