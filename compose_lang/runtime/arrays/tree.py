"""Trees of arrays: nested dicts, tuples and NamedTuples, mapped and read leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from compose_lang.runtime.arrays.protocol import Array, Tree


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to the corresponding leaves of trees of one structure; None is an empty tree."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: tree_map(function, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (tuple, list)):
        parts = [tree_map(function, *leaves) for leaves in zip(tree, *others, strict=True)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return function(tree, *others)


def leaves(tree: Tree) -> Iterator[Array]:
    """The arrays of a tree, in the order of its structure."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from leaves(value)
    elif tree is not None:
        yield tree


def fold(
    stack: Callable[[list[Array]], Array],
    body: Callable[[Tree, Tree], tuple[Tree, Tree]],
    carry: Tree,
    xs: Tree,
) -> tuple[Tree, Tree]:
    """`Backend.scan` as a Python loop, for the backends that have no compiled one."""
    outputs = []
    for i in range(next(leaves(xs)).shape[0]):
        carry, y = body(carry, tree_map(lambda x: x[i], xs))  # noqa: B023 - called before i moves on
        outputs.append(y)
    return carry, tree_map(lambda *ys: stack(list(ys)), *outputs)
