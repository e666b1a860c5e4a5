"""Which kernel updates continuous variables, all in one block, out of whose energy finite ones are summed.

Before: `exact`. After: `plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import Part, Request, Variable, moved_with
from compose_lang.compiler.graph.objects import objects_of
from compose_lang.runtime.backends import facts
from compose_lang.runtime.kernels import find_kernel, hmc, mh, nuts
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.draft import Draft
from compose_lang.runtime.planning.exact import collapsible


def plan_parts(draft: Draft) -> None:
    """Parts of variables, a block for each request; what is left of a variable moves with all that is not asked for."""
    free = {v.name: v for v in draft.left}
    for request in draft.parts:
        asked = {n: free_part(free[n], request.parts[n]) for n in request.targets if n in free}
        parts = {n: p for n, p in asked.items() if p.sites}
        if not parts:
            continue
        for name, part in parts.items():
            draft.moved.setdefault(name, set()).update(part.sites)
        names, options = tuple(parts), options_of(request)
        block = Block(names, request.method, options, why="asked for", is_asked=True, parts=parts)
        draft.continuous.append(with_summed(draft, block))
    draft.take(n for n, sites in draft.moved.items() if len(sites) == free[n].free_sites)


def free_part(v: Variable, part: Part) -> Part:
    """A part by the numbers of its free sites."""
    numbers = np.cumsum(v.free.reshape(-1)) - 1
    return Part(part.text, tuple(int(numbers[s]) for s in part.sites if v.free.reshape(-1)[s]))


def plan_continuous(draft: Draft) -> None:
    """All variables that are left: a block for each request, and one for all that is not asked for.

    A kernel that goes by objects has a block for each variable that has any.
    """
    members: dict[Any, list[Variable]] = {}
    for v in draft.left:
        request = draft.requests.get(v.name)
        key = None if request is None else (id(request), apart(draft, v))
        members.setdefault(key, []).append(v)
    for key, variables in members.items():
        names = tuple(v.name for v in variables)
        if key is None:
            parts = {v.name: rest_of(draft, v) for v in variables if v.name in draft.moved}
            block = replace(continuous_block(names, draft.backend), parts=parts)
        else:
            request = draft.requests[names[0]]
            block = Block(names, request.method, options_of(request), why="asked for", is_asked=True)
        draft.continuous.append(with_summed(draft, block))
    draft.take(v.name for v in draft.left)


def options_of(request: Request) -> dict[str, Any]:
    """What is asked of a method, by the names of its options in order."""
    return dict(sorted(request.options.items()))


def rest_of(draft: Draft, v: Variable) -> Part:
    """What no part that is asked for has of a variable."""
    left = tuple(s for s in range(v.free_sites) if s not in draft.moved[v.name])
    return Part(f"the rest of {v.name}", left)


def with_summed(draft: Draft, block: Block) -> Block:
    """A block, out of whose energy what can be is summed."""
    # along levels of noise every particle has its own, and nothing is summed out
    summed = () if draft.walking else collapsible(draft.exact, moved_with(draft.graph, block.variables))
    return summing(block, summed) if summed else block


def apart(draft: Draft, v: Variable) -> str:
    """The name of a variable whose objects a kernel draws, empty where it is drawn with others."""
    kernel = find_kernel(draft.requests[v.name].method)
    by_objects = kernel is not None and kernel.view == "objects" and not draft.walking
    return v.name if by_objects and objects_of(draft.graph, v) is not None else ""


def continuous_block(names: tuple[str, ...], backend: str) -> Block:
    """Continuous variables by the first kernel that runs on a backend."""
    if nuts.KERNEL.runs_on(backend) and facts(backend).compiles_whole:
        why = "continuous with a gradient: trajectories tune their own length"
        return Block(names, nuts.KERNEL.name, why=why)
    if hmc.KERNEL.runs_on(backend):
        # measured: half as many effective draws a second by `nuts`, whose trees are steps of Python there
        why = f"continuous with a gradient; on {backend} its steps cost less than those of {nuts.KERNEL.name}"
        return Block(names, hmc.KERNEL.name, why=why)
    return Block(names, mh.KERNEL.name, why=f"continuous; the {backend} backend has no gradients")


def summing(block: Block, summed: Sequence[tuple[str, ...]]) -> Block:
    """A block that sees the energy with some finite variables summed out."""
    names = ", ".join(name for names in summed for name in names)
    return replace(block, summed=tuple(summed), why=f"{block.why}; {names} summed out")
