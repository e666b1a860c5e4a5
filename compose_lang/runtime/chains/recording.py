"""What is kept of chains: the types that draws are stored in, and batches as named arrays for checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.density.columns import Column

CHUNK_DRAWS, CHUNK_BYTES = 4096, 2**25
"""Room for the draws of one chunk. It is no function of how many are wanted: a program compiled for some draws
serves any number, also from the cache of an earlier run."""


def stored_types(columns: Sequence[Column], keep: Collection[str]) -> dict[str, str | None]:
    """The columns that are kept, and the type of each on disk."""
    return {c.name: c.stored_dtype for c in columns if c.name in keep}


def as_stored(
    values: Mapping[str, Array], types: Mapping[str, str | None], backend: Backend
) -> dict[str, Array]:
    """`draw.NAME` of the values that are kept, in the types they are stored in."""
    xp = backend.xp
    own = {None: backend.real, "int64": backend.integer}
    return {
        f"draw.{name}": xp.astype(values[name], own[dtype] if dtype in own else getattr(xp, str(dtype)))
        for name, dtype in types.items()
    }


def packed(tree: Tree, backend: Backend) -> dict[str, NDArray[Any]]:
    """A tree's arrays by their paths, on the host."""
    return {name: np.asarray(backend.to_numpy(leaf)) for name, leaf in named_leaves(tree)}


def unpacked(arrays: Mapping[str, NDArray[Any]], like: Tree, backend: Backend) -> Tree:
    """The tree that was packed, in the structure and the types of another."""
    leaves = dict(named_leaves(like))
    given = {n: backend.asarray(arrays[n], getattr(leaf, "dtype", None)) for n, leaf in leaves.items()}
    return rebuilt(like, given)


def named_leaves(tree: Tree, name: str = "") -> list[tuple[str, Array]]:
    """A tree's arrays, each under the path that leads to it."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in named_leaves(tree[key], f"{name}/{key}")]
    if isinstance(tree, tuple | list):
        return [leaf for i, part in enumerate(tree) for leaf in named_leaves(part, f"{name}/{i}")]
    return [(name, tree)]


def rebuilt(tree: Tree, values: Mapping[str, Array], name: str = "") -> Tree:
    """A tree of this structure whose arrays are taken from their paths."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: rebuilt(part, values, f"{name}/{key}") for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [rebuilt(part, values, f"{name}/{i}") for i, part in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return values[name]
