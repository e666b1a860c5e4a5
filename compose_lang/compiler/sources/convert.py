"""Values from files or from Python into arrays of a declared type, every one of them checked.

A `RawData` (see `files`) or a plain Python value goes in with the `Type` it is declared to have; a NumPy
array comes out, float64 for reals and int64 for what is discrete, or a `ComposeError` that names the place
and the value at fault. `violation` is the one test of whether numbers lie in a domain.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from compose_lang.compiler.ir.types import Domain, Type
from compose_lang.compiler.sources.formats import RawData, read_file, resolve_path
from compose_lang.diagnostics import ComposeError, Diagnostic, Span, did_you_mean

__all__ = ["RawData", "bind_data", "read_file", "resolve_path", "violation"]

MISSING = ("", "na", "nan", "n/a", "null", "none")
MISSING_HINT = "leave the row out, or declare a var for what is missing"
LUMA = np.array([0.299, 0.587, 0.114])  #: ITU-R BT.601, as image editors turn colour into grey
MOST_NAMES = 8  #: that a hint lists
TOLERANCE = 1e-6  #: for sums and lengths that a file rounds: simplex, unit_vector, cholesky_corr


def bind_data(value: Any, type: Type, name: str, span: Span | None, origin: str = "") -> np.ndarray:
    """The value of a `data` declaration as an array of its type.

    Dimensions of `type` that are -1 or None are taken from the value. Reals become float64, discrete values
    int64 (named values their index, bool 0 and 1), text an array of str. Raises a ComposeError: CG0203 for a
    shape other than declared, CG0304 outside the type, CG0305 missing, CG0306 ragged or empty.
    """
    raw = value if isinstance(value, RawData) else RawData(value, origin or f"the value given for {name}")
    cells = _cells(raw, type, name, span)
    if type.domain.kind == "text":
        return _shaped(cells.astype(str), raw, type, name, span)
    array = _shaped(_numbers(cells, raw, type.domain, span), raw, type, name, span)
    if raw.layout == "image" and type.domain.kind == "spin":
        array = np.where(array == 0, -1.0, array)  # black is -1; what is neither black nor white fails below
    fault = violation(array, type.domain)
    if fault is not None:
        index, reason = fault
        _fail("CG0304", f"{raw.place(index)}: {reason}", span, f"{name} is declared as {type.domain}")
    return array.astype(np.int64) if type.domain.is_discrete else array


def _cells(raw: RawData, type: Type, name: str, span: Span | None) -> np.ndarray:
    """The raw value as a rectangular array of numbers, of text or, where something is missing, of objects."""
    if raw.layout == "image" and len(type.full_shape) == 2:
        return _grey(raw.value)
    try:
        cells = np.asarray(raw.value)
    except (ValueError, TypeError, OverflowError):
        _fail("CG0306", f"{raw.origin}: the nested lists differ in length", span)
    if cells.dtype.kind == "O" and any(isinstance(cell, list | tuple | dict) for cell in cells.flat):
        if any(isinstance(cell, dict) for cell in cells.flat):
            hint = "name the entry that holds the values"
            _fail("CG0304", f"{raw.origin} holds an object, where {name} needs {type}", span, hint)
        _fail("CG0306", f"{raw.origin}: the nested lists differ in length", span)
    if cells.size == 0 and 0 not in type.full_shape:
        _fail("CG0306", f"{raw.origin} has no values", span)
    return cells


def _grey(channels: np.ndarray) -> np.ndarray:
    first = channels[0]
    if len(channels) == 1 or (channels == first).all():  # exact, so that black and white stay 0 and 1
        return first
    return np.tensordot(LUMA, channels, axes=1)


def _numbers(cells: np.ndarray, raw: RawData, domain: Domain, span: Span | None) -> np.ndarray:
    """The cells as float64; missing, infinite and unreadable ones are errors."""
    if cells.dtype.kind in "biuf":
        array = cells.astype(np.float64)
    elif cells.dtype.kind in "OUS":
        array = _parse(cells, raw, _words(domain), span)
    else:
        _fail("CG0304", f"{raw.origin} holds values of type {cells.dtype}, not numbers", span)
    missing = np.argwhere(np.isnan(array))
    if len(missing):  # not `size`: the index of a scalar has no parts
        text = f"{raw.place(tuple(missing[0]))}: the value is missing (NaN){_and_more(len(missing))}"
        _fail("CG0305", text, span, MISSING_HINT)
    infinite = np.argwhere(np.isinf(array))
    if len(infinite):
        index = tuple(infinite[0])
        _fail("CG0304", f"{raw.place(index)}: {array[index]:g} is not finite", span)
    return array


def _words(domain: Domain) -> dict[str, float]:
    """The words a domain reads as numbers: truth values and the names of a category."""
    if domain.kind == "bool":
        return {"true": 1.0, "True": 1.0, "TRUE": 1.0, "false": 0.0, "False": 0.0, "FALSE": 0.0}
    return {name: float(place) for place, name in enumerate(domain.names)}


def _parse(cells: np.ndarray, raw: RawData, words: dict[str, float], span: Span | None) -> np.ndarray:
    """Cells of text, or of text and numbers, as numbers."""
    if raw.layout == "table" and not words:
        try:
            return cells.astype(np.float64)
        except (ValueError, TypeError):
            pass  # some cell is not a number: which one is found below
    else:
        cells = np.asarray(raw.value, dtype=object)  # NumPy has made text of the numbers beside text
    texts = np.array(["" if cell is None else str(cell).strip() for cell in cells.flat], dtype=str)
    distinct, first, where = np.unique(texts, return_index=True, return_inverse=True)
    values = np.empty(len(distinct))
    for k in np.argsort(first):  # in the file's order, so that the first fault is the one reported
        text = str(distinct[k])
        if text in words:
            values[k] = words[text]
            continue
        place = raw.place(tuple(int(i) for i in np.unravel_index(first[k], cells.shape)))
        try:
            values[k] = float(text)
        except (ValueError, OverflowError):
            if text.lower() in MISSING:
                count = int(np.isin(np.char.lower(texts), MISSING).sum())
                _fail("CG0305", f"{place}: the value is missing{_and_more(count)}", span, MISSING_HINT)
            kind = "a value of the type" if words else "a number"
            hint = did_you_mean(text, words) or (f"it takes {', '.join(words)}" if words else "")
            _fail(
                "CG0304",
                f"{place}: {text!r} is not {kind}",
                span,
                hint or _by_name(distinct[np.argsort(first)]),
            )
        if raw.layout != "table" and isinstance(cells.flat[first[k]], str):
            _fail("CG0304", f"{place}: {text!r} is text, not a number", span, "write it without quotes")
    return values[where].reshape(cells.shape)


def _and_more(count: int) -> str:
    return f", and {count - 1} more" if count > 1 else ""


def _by_name(texts: np.ndarray) -> str:
    """The named values that a column of few words may be declared to hold."""
    names = [str(text) for text in texts]
    if len(names) > MOST_NAMES or not all(name.isidentifier() for name in names):
        return ""
    return f"named values are declared: {{{', '.join(names)}}}"


def _shaped(array: np.ndarray, raw: RawData, type: Type, name: str, span: Span | None) -> np.ndarray:
    """The array, if its shape is as declared; a table of one column is a vector, of one cell a number."""
    declared = type.full_shape
    if raw.layout == "table" and array.ndim > len(declared):
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.size == 1 and not declared:
            array = array.reshape(())
    fits = array.ndim == len(declared) and all(
        want in (-1, None) or want == got for want, got in zip(declared, array.shape, strict=True)
    )
    if not fits:
        want = ", ".join("_" if n in (-1, None) else str(n) for n in declared)
        got = ", ".join(map(str, array.shape))
        text = f"shapes do not match: {name} is declared [{want}], but {raw.origin} has [{got}]"
        _fail("CG0203", text, span)
    return array


def violation(array: np.ndarray, domain: Domain) -> tuple[tuple[int, ...], str] | None:
    """The index and a description of the first value that lies outside a domain, or None.

    array: (…, *event_shape), float64. Constrained vectors are checked whole, to a tolerance of 1e-6, and the
    index is then that of the site.
    """
    if domain.event_shape:
        return _vector_violation(array, domain)
    match domain.kind:
        case "real":
            wrong, reason = (array < domain.lower) | (array > domain.upper), f"is not {_among(domain)}"
            if domain.strict:
                wrong |= (array == domain.lower) | (array == domain.upper)
        case "angle":
            wrong, reason = np.abs(array) > np.pi, "is not an angle in radians from -pi to pi"
        case "int":
            return _first(array != np.floor(array), array, "is not a whole number") or _first(
                (array < domain.lower) | (array > domain.upper) | (np.abs(array) >= 2.0**63),
                array,
                f"is not {_among(domain)}",
            )
        case "bool":
            wrong, reason = (array != 0) & (array != 1), "is not 0 or 1"
        case "spin":
            wrong, reason = np.abs(array) != 1, "is not -1 or 1"
        case "category":
            upper = len(domain.names) or domain.size
            wrong = (array != np.floor(array)) | (array < 0) | (array >= upper)
            reason = f"is not a category from 0 to {upper - 1}"
        case kind:
            raise ValueError(f"values of {kind} are not numbers")
    return _first(wrong, array, reason)


def _among(domain: Domain) -> str:
    """The words for a bounded domain after "is not"."""
    if domain.kind == "real" and (domain.lower, domain.upper) == (0.0, np.inf):
        return "positive" if domain.strict else "at least 0"
    if domain.upper == np.inf:
        return f"at least {domain.lower:g}"
    if domain.lower == -np.inf:
        return f"at most {domain.upper:g}"
    return f"{'strictly ' if domain.strict else ''}between {domain.lower:g} and {domain.upper:g}"


def _vector_violation(array: np.ndarray, domain: Domain) -> tuple[tuple[int, ...], str] | None:
    """As `violation`, for domains whose site is a vector or a matrix."""
    steps = np.diff(array, axis=-1)
    least = steps.min(-1, initial=np.inf)  # of one element there are no steps
    match domain.kind:
        case "simplex":
            total = array.sum(-1)
            return _first((array < 0).any(-1), array.min(-1), "is a negative part of a simplex") or _first(
                np.abs(total - 1) > TOLERANCE, total, "is the sum of its parts, not 1"
            )
        case "ordered":
            return _first((steps <= 0).any(-1), least, "is a step that does not ascend")
        case "positive_ordered":
            return _first(array[..., 0] <= 0, array[..., 0], "is not positive") or _first(
                (steps <= 0).any(-1), least, "is a step that does not ascend"
            )
        case "unit_vector":
            length = np.linalg.norm(array, axis=-1)
            return _first(np.abs(length - 1) > TOLERANCE, length, "is the length of a unit vector, not 1")
        case "permutation":
            last = array.shape[-1] - 1
            strange = (array != np.floor(array)) | (array < 0) | (array > last)
            ordered = np.sort(array, axis=-1)
            again = np.diff(ordered, axis=-1, prepend=-1) == 0
            first = lambda x, where: np.take_along_axis(x, where.argmax(-1)[..., None], -1)[..., 0]  # noqa: E731
            return _first(
                strange.any(-1), first(array, strange), f"is in no ordering of 0 to {last}"
            ) or _first(again.any(-1), first(ordered, again), "stands twice in an ordering")
        case "cholesky_corr":
            above = np.abs(np.triu(array, 1)).max((-2, -1))
            length = np.linalg.norm(array, axis=-1)
            diagonal = np.diagonal(array, axis1=-2, axis2=-1).min(-1)
            return (
                _first(above > 0, above, "stands above the diagonal of a Cholesky factor")
                or _first(diagonal <= 0, diagonal, "is on the diagonal of a Cholesky factor")
                or _first(np.abs(length - 1).max(-1) > TOLERANCE, length.max(-1), "is a row's length, not 1")
            )
    raise ValueError(f"{domain} is not a domain of vectors")


def _first(wrong: Any, shown: np.ndarray, reason: str) -> tuple[tuple[int, ...], str] | None:
    places = np.argwhere(wrong)
    if not len(places):
        return None
    index = tuple(int(i) for i in places[0])
    return index, f"{shown[index]:.10g} {reason}"


def _fail(code: str, message: str, span: Span | None, help: str = "") -> NoReturn:
    raise ComposeError(Diagnostic(code, message, span, help=help))
