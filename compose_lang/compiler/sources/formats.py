"""Data files into raw values: CSV, JSON, NPY, NPZ, images, safetensors and Parquet, by their ending.

A path and a field go in, a `RawData` comes out: what the file holds, where in it that stands, and the file's
hash. Nothing is converted to a declared type here; `data.bind_data` does that next. No format read here can
run code, and whatever is wrong with a file is a `ComposeError`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compose_lang.diagnostics import ComposeError, Diagnostic, Span, did_you_mean

SIZE_LIMIT = 2 * 2**30  #: bytes a data file may have, unpacked


@dataclass(frozen=True)
class RawData:
    """What stands in a file, before it is given a type.

    layout "table": text cells, rows along axis 0; "image": channels, rows, columns with values 0 to 1;
    "nested": numbers, text and nested lists of them, or an array.
    """

    value: Any
    origin: str  #: for messages: `schools.csv, column "stderr"`
    layout: str = "nested"
    columns: tuple[str, ...] = ()  #: of a table, as in its header
    sha256: str = ""

    def place(self, index: tuple[int, ...]) -> str:
        """Name an element: rows of a table count from 1 below the header, indices of arrays from 0."""
        if self.layout == "table":
            column = f', column "{self.columns[index[1]]}"' if len(index) > 1 else ""
            return f"{self.origin}{column}, row {index[0] + 1}"
        if self.layout == "image":
            return f"{self.origin}, pixel [{index[-2]}, {index[-1]}]"
        return f"{self.origin}, element [{', '.join(map(str, index))}]" if index else self.origin


def resolve_path(written: str, folder: Path, span: Span | None) -> Path:
    """The file a program names; CG0308 where it is, links resolved, outside the program's folder tree."""
    root = folder.resolve()
    try:
        path = (root / written).resolve()
        inside = path.is_relative_to(root)
    except (OSError, RuntimeError, ValueError) as problem:  # a loop of links, a NUL in the name
        raise _error("CG0302", f"{written!r} is not a path that can be read: {problem}", span) from None
    if not inside:
        text = f"{written} is outside the program's folder"
        hint = "copy the file beside the program; data may also be bound from outside: --data NAME=FILE"
        raise _error("CG0308", text, span, hint)
    return path


def read_file(path: Path, field: str | None, span: Span | None, *, limit: int | None = SIZE_LIMIT) -> RawData:
    """Read a file, or one column or key of it, by the file's ending.

    Raises a ComposeError: CG0302 where the file cannot be read as what its ending says, CG0303 where the
    field is not in it, CG0306 where it is empty or ragged, CG0801 (exit code 5) where it has more bytes than
    `limit`.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = " ".join(sorted(READERS))
        text = f"{path.name}: files ending in {path.suffix!r} are not known"
        raise _error("CG0302", text, span, f"data is read from {known}")
    try:
        size = path.stat().st_size
        if path.is_file() and limit is not None:
            _check_size(path, size, limit, span)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if size == 0:
            raise _error("CG0306", f"{path.name} is empty", span)
        raw = reader(path, field, span)
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        where = "`read` looks beside the program" if span else "paths of --data start at the working folder"
        hint = did_you_mean(path.name, beside) or where
        raise _error("CG0302", f"there is no file {path.name}", span, hint) from None
    except OSError as problem:
        raise _error("CG0302", f"{path.name} cannot be read: {problem.strerror or problem}", span) from None
    except MemoryError:
        raise _error("CG0801", f"{path.name} does not fit into memory", span, exit_code=5) from None
    return RawData(raw.value, raw.origin, raw.layout, raw.columns, digest)


def _check_size(path: Path, size: int, limit: int, span: Span | None) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > limit:
        text = f"{path.name} has {size:,} bytes, more than the limit of {limit:,}"
        raise _error("CG0801", text, span, exit_code=5)


def _read_csv(path: Path, field: str | None, span: Span | None) -> RawData:
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise _error("CG0302", f"{path.name} is not a CSV file: {problem}", span) from None
    if not rows:
        raise _error("CG0306", f"{path.name} is empty", span)
    header = tuple(cell.strip() for cell in rows[0])
    # A matrix saved with its column numbers as header is fine; other numbers mean that there is no header.
    if all(_is_number(cell) for cell in header) and header != tuple(map(str, range(len(header)))):
        hint = "put a row with the names of the columns above the values"
        raise _error(
            "CG0303", f"the first row of {path.name} holds numbers, not the names of columns", span, hint
        )
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    ragged = np.flatnonzero(lengths != len(header))
    if ragged.size:
        row = int(ragged[0])
        text = f"{path.name}, row {row}: {lengths[row]} cells, but the header has {len(header)}"
        raise _error("CG0306", text, span)
    if len(rows) == 1:
        raise _error("CG0306", f"{path.name} has a header and no rows", span)
    if field is None:
        return RawData(np.array(rows[1:], dtype=str), path.name, "table", header)
    if header.count(field) > 1:
        raise _error("CG0303", f'{path.name} has {header.count(field)} columns named "{field}"', span)
    if field not in header:
        raise _missing_field(path, field, header, "column", span)
    place = header.index(field)
    cells = np.array([row[place] for row in rows[1:]], dtype=str)
    return RawData(cells, f'{path.name}, column "{field}"', "table", header)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_json(path: Path, field: str | None, span: Span | None) -> RawData:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as problem:
        text = f"{path.name}, line {problem.lineno}, column {problem.colno}: not JSON: {problem.msg}"
        raise _error("CG0302", text, span) from None
    except UnicodeDecodeError as problem:
        raise _error("CG0302", f"{path.name} is not text: {problem}", span) from None
    except RecursionError:
        raise _error("CG0302", f"{path.name} is nested too deeply", span) from None
    if field is None:
        return RawData(value, path.name)
    if not isinstance(value, dict):
        raise _error(
            "CG0303", f'{path.name} does not hold an object, so there is no key "{field}" in it', span
        )
    return _named(path, value, field, "key", span)


def _named(path: Path, arrays: Mapping[str, Any], field: str | None, kind: str, span: Span | None) -> RawData:
    """One entry of a file of named entries; the field may be left out where there is just one."""
    if field is None:
        if len(arrays) != 1:
            text = f"{path.name} holds {len(arrays)} arrays: name one of {', '.join(arrays)}"
            raise _error("CG0303", text, span, f'read("{path.name}", "{next(iter(arrays), "name")}")')
        return RawData(next(iter(arrays.values())), path.name)
    if field not in arrays:
        raise _missing_field(path, field, arrays, kind, span)
    return RawData(arrays[field], f'{path.name}, {kind} "{field}"')


def _read_numpy(path: Path, field: str | None, span: Span | None) -> RawData:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                if field is not None:
                    text = f'{path.name} holds one array without a name, so no "{field}"'
                    raise _error("CG0303", text, span)
                return RawData(loaded, path.name)
            if field is None and len(loaded.files) == 1:
                field = loaded.files[0]
            arrays = {name: loaded[name] if name == field else None for name in loaded.files}
        return _named(path, arrays, field, "array", span)
    except (ValueError, EOFError, zipfile.BadZipFile) as problem:
        if "pickle" in str(problem):
            text = f"{path.name} holds pickled objects or is no NumPy file; pickles can run code: not read"
            hint = "save plain numbers: numpy.save(path, array.astype(float))"
            raise _error("CG0302", text, span, hint) from None
        raise _error("CG0302", f"{path.name} is not a NumPy file: {problem}", span) from None


def _read_image(path: Path, field: str | None, span: Span | None) -> RawData:
    from PIL import Image

    if field is not None:
        raise _error("CG0303", f'{path.name} is an image: it has no key "{field}"', span)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                deep = image.mode.startswith("I")  # 16 bits a pixel, of which Pillow makes 32
                grey = deep or image.mode in ("1", "L", "LA")
                pixels = np.asarray(image if deep else image.convert("L" if grey else "RGB"))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as problem:
        raise _error("CG0801", f"{path.name}: {problem}", span, exit_code=5) from None
    except (OSError, SyntaxError, ValueError) as problem:  # what Pillow raises for broken files
        if isinstance(problem, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise _error("CG0302", f"{path.name} is not an image that can be read: {problem}", span) from None
    channels = pixels[None] if grey else np.moveaxis(pixels, -1, 0)
    return RawData(channels / (65535.0 if deep else 255.0), path.name, "image")


def _read_safetensors(path: Path, field: str | None, span: Span | None) -> RawData:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, KeyError, TypeError) as problem:  # KeyError: a dtype that NumPy lacks
        raise _error(
            "CG0302", f"{path.name} is not a safetensors file that can be read: {problem}", span
        ) from None
    return _named(path, arrays, field, "tensor", span)


def _read_parquet(path: Path, field: str | None, span: Span | None) -> RawData:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        hint = "python -m pip install pyarrow, or save the table as CSV"
        raise _error(
            "CG0302", f"{path.name}: reading Parquet needs the package pyarrow", span, hint
        ) from None
    try:
        columns = tuple(parquet.read_schema(path).names)
        if field is not None and field not in columns:
            raise _missing_field(path, field, columns, "column", span)
        table = parquet.read_table(path, columns=None if field is None else [field])
    except pyarrow.ArrowException as problem:
        raise _error("CG0302", f"{path.name} is not a Parquet file: {problem}", span) from None
    if field is not None:
        return RawData(table.column(field).to_pylist(), f'{path.name}, column "{field}"', "table", columns)
    values = [table.column(name).to_pylist() for name in columns]
    return RawData([list(row) for row in zip(*values, strict=True)], path.name, "table", columns)


READERS: dict[str, Callable[[Path, str | None, Span | None], RawData]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".png": _read_image,
    ".jpg": _read_image,
    ".jpeg": _read_image,
    ".safetensors": _read_safetensors,
    ".parquet": _read_parquet,
}


def _missing_field(path: Path, field: str, names: Any, kind: str, span: Span | None) -> ComposeError:
    there = ", ".join(names)
    hint = did_you_mean(field, names) or f"there are: {there}"
    return _error("CG0303", f'{path.name} has no {kind} "{field}"', span, hint)


def _error(code: str, message: str, span: Span | None, help: str = "", exit_code: int = 1) -> ComposeError:
    return ComposeError(Diagnostic(code, message, span, help=help), exit_code)
