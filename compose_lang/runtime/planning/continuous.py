"""Which kernel updates continuous variables, all in one block, out of whose energy finite ones are summed.

Before: `exact`. After: `plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from compose_lang.compiler.graph.factor_graph import Variable, moved_with
from compose_lang.compiler.graph.objects import objects_of
from compose_lang.runtime.backends import backend_names
from compose_lang.runtime.kernels import find_kernel, hmc, mh, nuts
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.draft import Draft
from compose_lang.runtime.planning.exact import collapsible


def plan_continuous(draft: Draft) -> None:
    """All variables that are left: a block for each request and its options, and one for all that is not asked for.

    A kernel that goes by objects has a block for each variable that has any.
    """
    members: dict[Any, list[Variable]] = {}
    for v in draft.left:
        request = draft.requests.get(v.name)
        key = (
            None
            if request is None
            else (request.method, tuple(sorted(request.options.items())), apart(draft, v))
        )
        members.setdefault(key, []).append(v)
    for key, variables in members.items():
        names = tuple(v.name for v in variables)
        if key is None:
            block = continuous_block(names, draft.backend)
        else:
            block = Block(names, key[0], dict(key[1]), why="asked for", is_asked=True)
        # along levels of noise every particle has its own, and nothing is summed out
        summed = () if draft.walking else collapsible(draft.exact, moved_with(draft.graph, names))
        draft.continuous.append(summing(block, summed) if summed else block)
    draft.take(v.name for v in draft.left)


def apart(draft: Draft, v: Variable) -> str:
    """The name of a variable whose objects a kernel draws, empty where it is drawn with others."""
    kernel = find_kernel(draft.requests[v.name].method)
    by_objects = kernel is not None and kernel.view == "objects" and not draft.walking
    return v.name if by_objects and objects_of(draft.graph, v) is not None else ""


def continuous_block(names: tuple[str, ...], backend: str) -> Block:
    """Continuous variables by the first kernel that runs on a backend."""
    if nuts.KERNEL.runs_on(backend):
        why = "continuous with a gradient: trajectories tune their own length"
        return Block(names, nuts.KERNEL.name, why=why)
    if hmc.KERNEL.runs_on(backend):
        where = ", ".join(filter(nuts.KERNEL.runs_on, backend_names()))
        why = f"continuous with a gradient; {nuts.KERNEL.name} runs on {where} only"
        return Block(names, hmc.KERNEL.name, why=why)
    return Block(names, mh.KERNEL.name, why=f"continuous; the {backend} backend has no gradients")


def summing(block: Block, summed: Sequence[tuple[str, ...]]) -> Block:
    """A block that sees the energy with some finite variables summed out."""
    names = ", ".join(name for names in summed for name in names)
    return replace(block, summed=tuple(summed), why=f"{block.why}; {names} summed out")
