"""Texts and `none`, which are known at compile time and no numbers: comparing and indexing them.

In: what expressions evaluate to. Out: truth values known at compile time, so that `if kind == "sea" { … }` and
`if label == none { … }` choose a branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.values import Nothing, Texts, describe, static_int
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import Span, fail


def is_textual(value: Any) -> bool:
    """Whether a value is a text, an array of them, or `none`."""
    return isinstance(value, str | Texts | Nothing)


def compare(left: Any, op: str, right: Any, span: Span) -> Node:
    """`==`, `!=`, `in` and `not in` where a side is a text or `none`, element by element for arrays of texts."""
    if Nothing in (type(left), type(right)) and op in ("==", "!="):
        return constant((type(left) is type(right)) == (op == "=="))
    one, other = array_of(left), array_of(right)
    is_membership = op in ("in", "not in")
    if (
        one is None
        or other is None
        or op in ("<", "<=", ">", ">=")
        or is_membership != (other.ndim > one.ndim)
    ):
        if is_membership or op in ("==", "!="):
            fail("CG0204", f"{describe(left)} cannot be compared with {describe(right)}", span)
        fail("CG0204", f"`{op}` compares numbers, not {describe(left)} and {describe(right)}", span)
    same = np.isin(one, other) if is_membership else one == other
    return constant(np.asarray(same if op in ("==", "in") else ~same))


def array_of(value: Any) -> np.ndarray | None:
    """A text or an array of them as NumPy's; None for anything else."""
    if isinstance(value, Texts):
        return value.value
    return np.array(value) if isinstance(value, str) else None


def element(texts: Texts, places: list[Any], span: Span) -> str | Texts:
    """`names[0]`: an element of an array of texts, at a place known at compile time."""
    if len(places) > texts.value.ndim:
        fail("CG0207", f"{len(places)} indices for {describe(texts)}", span)
    if not all(isinstance(p, Node) and p.is_static_scalar for p in places):
        help = 'compare the array and index what comes out: `(names == "a")[i]`'
        fail("CG0208", "the index of an array of texts must be known at compile time", span, help=help)
    at = tuple(static_int(p, span, "the index") for p in places)
    try:
        chosen = texts.value[at]
    except IndexError:
        fail("CG0207", f"index {at[0]} is out of range for {describe(texts)}", span)
    return Texts(chosen) if isinstance(chosen, np.ndarray) else str(chosen)
