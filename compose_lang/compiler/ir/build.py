"""The energy program's expressions: a typed DAG over named axes.

In: builders (`node`, `constant`, `gather`, …) called by elaboration. Out: `Node`s that the graph's groups hold and
`interpret` computes on a backend.

A node's value is an array with the axes `(chain, *axes, *shape)`. `axes` are the plates and generators it varies
over, each an `Axis` object, in order of creation: a factor over a million instances is one node with one axis of
that length, never a million nodes. `shape` is what the user sees of one instance. Nodes are hash-consed, so what
is written twice is computed once, and whatever is known at compile time is folded into a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast
from weakref import WeakValueDictionary

import numpy as np

from compose_lang.compiler.ir.node import NUMPY_DTYPES, Axis, Dtype, Node, leaves, postorder, union_axes
from compose_lang.compiler.ir.operation import LEAF, Host, reduction_of
from compose_lang.compiler.ir.ops import OPS
from compose_lang.compiler.ir.ops.gather import affine
from compose_lang.compiler.ir.ops.scan import ScanSpec
from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import ComposeError, Diagnostic

MAX_ELEMENTS = 10**8


_known: WeakValueDictionary[Any, Node] = WeakValueDictionary()


def constant(
    value: Any, axes: Sequence[Axis] = (), dtype: Dtype | None = None, domain: Domain | None = None
) -> Node:
    """A constant; `value` has the axes `(*axes, *shape)`."""
    array = np.asarray(value)
    if dtype is None:
        dtype = "bool" if array.dtype == np.bool_ else "int" if array.dtype.kind in "iu" else "real"
    array = array.astype(NUMPY_DTYPES[dtype], copy=False)
    order = sorted(range(len(axes)), key=lambda i: axes[i].number)
    if order != list(range(len(axes))):
        array = np.transpose(array, (*order, *range(len(axes), array.ndim)))
        axes = [axes[i] for i in order]
    if array.ndim == 0 and domain is None:
        key = ("const", dtype, array.item() if not (dtype == "real" and array == 0) else str(array))
        found = _known.get(key)
        if found is None:
            found = _known[key] = Node("const", (), (), (), (), dtype, array)
        return found
    return Node("const", (), (), array.shape[len(axes) :], tuple(axes), dtype, array, domain)


def variable(name: str, shape: tuple[int, ...], dtype: Dtype, domain: Domain) -> Node:
    """The leaf that stands for a program's variable."""
    return Node("var", (), (name,), shape, (), dtype, domain=domain)


def slot(name: str, shape: tuple[int, ...] = (), axes: tuple[Axis, ...] = (), dtype: Dtype = "real") -> Node:
    """A leaf to be bound at evaluation."""
    return Node("slot", (), (name, object()), shape, axes, dtype)


def node(op: str, *args: Node, attrs: tuple[Any, ...] = ()) -> Node:
    """The operation `op` on args: checked, folded where everything is known, shared where it is known already."""
    rule = OPS[op]
    args = rule.coerce(args, cast_to) if rule.coerce else args
    key = (op, tuple(map(id, args)), attrs)
    found = _known.get(key)
    if found is not None:
        return found
    shape, dtype = rule.infer(args, attrs)
    axes = rule.axes(args, attrs) if rule.axes else union_axes(args)
    made = Node(op, args, attrs, shape, axes, dtype)
    if op == "where" and (chosen := chosen_branch(made)) is not None:
        return chosen
    if args and all(a.is_const for a in args) and op != "scan":
        require_room(shape, axes)
        with np.errstate(all="ignore"):  # log(0) is -inf, on the host as on a backend
            value = rule.run(HOST, made, [cast(np.ndarray, a.value)[None] for a in args])[0]
        full = tuple(a.size for a in axes) + shape
        value = value if np.shape(value) == full else np.broadcast_to(value, full)
        return constant(np.array(value), axes, dtype)
    simpler = simplify(made)
    if simpler is made:  # only a node that keeps its arguments alive may be found again by their ids
        _known[key] = made
    return simpler


def require_room(shape: Sequence[int], axes: Sequence[Axis] = ()) -> None:
    """CG0801 for an array that no machine should be asked to hold."""
    elements = math.prod(shape) * math.prod(a.size for a in axes)
    if elements > MAX_ELEMENTS:
        text = f"an array of {elements:.3g} elements is more than the limit of {MAX_ELEMENTS:.0e}"
        raise ComposeError(Diagnostic("CG0801", text), exit_code=5)


HOST = Host()


def simplify(made: Node) -> Node:
    """Identities that cost nothing to see: x + 0, x * 1, x / 1."""
    if len(made.args) != 2:
        return made
    for other, x, neutral in zip(made.args[::-1], made.args, OPS[made.op].identities[::-1], strict=True):
        idle = neutral is not None and other.is_static_scalar and other.item() == neutral
        if idle and x.dtype == made.dtype and x.shape == made.shape:
            return x
    return made


def chosen_branch(made: Node) -> Node | None:
    """The argument of a `where` that is taken everywhere, if that is known."""
    condition = made.args[0].value
    if condition is None or not condition.size or (condition != condition.flat[0]).any():
        return None
    chosen = made.args[1 if condition.flat[0] else 2]
    return chosen if chosen.shape == made.shape and chosen.dtype == made.dtype else None


def cast_to(x: Node, dtype: Dtype) -> Node:
    """x as a number of another kind; bool counts as 0 and 1."""
    if x.dtype == dtype:
        return x
    if x.is_const:
        assert x.value is not None
        value = x.value != 0 if dtype == "bool" else x.value.astype(NUMPY_DTYPES[dtype])
        return constant(value, x.axes, dtype)
    return node("cast", x, attrs=(dtype,))


# --- structure ----------------------------------------------------------------------------------------


def along(axis: Axis) -> Node:
    """0 … size-1 along an axis."""
    return constant(np.arange(axis.size), (axis,))


def broadcast_to(x: Node, shape: tuple[int, ...]) -> Node:
    return x if x.shape == shape else node("broadcast", x, attrs=(shape,))


def depends_on_discrete(x: Node) -> bool:
    """Whether a discrete variable is read below x (its locality is worth recomputing for)."""
    return any(leaf.domain is not None and leaf.domain.is_discrete for leaf in leaves(x) if leaf.op == "var")


def gather(x: Node, indices: Sequence[Node]) -> Node:
    """`x[i, j, …]` over the leading axes of x's shape; indices are integers of one broadcast shape.

    The index moves inwards to the variables it selects from wherever that keeps a factor local to the sites it
    reads (discrete variables) or computes no more than before.
    """
    if not indices:
        return x
    scalar = all(i.shape == () for i in indices)
    rank = len(x.shape)
    after = np.prod([a.size for a in union_axes([x, *indices])], dtype=float)
    before = np.prod([a.size for a in x.axes], dtype=float) * np.prod(x.shape[: len(indices)], dtype=float)
    inwards = scalar and (after <= before or depends_on_discrete(x))
    if not x.is_const:
        if x.op == "slice" and scalar:
            steps = x.attrs[0]
            if all(s is None for s in steps[len(indices) :]):
                moved = [
                    i if s is None else node("add", node("mul", i, constant(s[2])), constant(s[0]))
                    for i, s in zip(indices, steps, strict=False)
                ]
                return gather(x.args[0], moved)
        if x.op == "collect" and scalar and len(indices) >= 1:
            (axis,) = x.attrs
            return gather(reindex(x.args[0], {axis: indices[0]}), indices[1:])
        if x.op == "stack" and scalar and indices[0].is_static_scalar:
            return gather(x.args[indices[0].item()], indices[1:])
        if x.op == "gather" and scalar and len(x.args) - 1 == 1:
            inner = x.args[1]
            if len(inner.shape) >= len(indices):
                return gather(x.args[0], [gather(inner, indices)])
            taken = len(inner.shape)
            if taken:
                return gather(gather(x.args[0], [gather(inner, indices[:taken])]), indices[taken:])
        if x.op == "broadcast" and scalar:
            return broadcast_to(gather_aligned(x.args[0], indices, rank), x.shape[len(indices) :])
        if inwards and x.args and OPS[x.op].elementwise:
            return node(x.op, *(gather_aligned(a, indices, rank) for a in x.args), attrs=x.attrs)
        if inwards and x.args and OPS[x.op].reduction and rank >= len(indices):
            return node(x.op, gather(x.args[0], indices), attrs=x.attrs)
    made = node("gather", x, *indices)
    if x.domain is not None and made.domain is None:
        within = len(indices) > rank - len(x.domain.event_shape)
        return known_to_be(made, x.domain.part if within else x.domain)
    return made


def known_to_be(made: Node, domain: Domain | None) -> Node:
    """A node of which it is known where its values lie; a constant is shared by its value, and so made anew."""
    if made.value is not None:
        return constant(made.value, made.axes, made.dtype, domain)
    made.domain = domain
    return made


def gather_aligned(x: Node, indices: Sequence[Node], rank: int) -> Node:
    """Index an operand of an elementwise result of `rank` axes: axes it lacks are skipped, axes of 1 repeat."""
    lacking = rank - len(x.shape)
    mine = list(indices[lacking:]) if lacking < len(indices) else []
    zero = constant(0)
    mine = [zero if x.shape[k] == 1 else i for k, i in enumerate(mine)]
    return gather(x, mine)


def transform(roots: Sequence[Node], replace: Callable[[Node], Node | None]) -> list[Node]:
    """Rebuild nodes bottom-up: where `replace` gives a node it is taken, else the arguments are replaced."""
    memo: dict[int, Node] = {}
    keep: list[Node] = []  # ids stay valid only while the nodes live
    for n in postorder(roots):
        new = replace(n)
        if new is None:
            new = rebuild(n, [memo[id(a)] for a in n.args])
        memo[id(n)] = new
        keep.append(n)
    return [memo[id(r)] for r in roots]


def rebuild(n: Node, args: Sequence[Node]) -> Node:
    """The same operation on other arguments."""
    if all(a is b for a, b in zip(n.args, args, strict=True)):
        return n
    match n.op:
        case "gather":
            return gather(args[0], args[1:])
        case "reduce_axis":  # what is reduced or collected may not vary any more
            return reduce_axis(n.attrs[0], args[0], n.attrs[1])
        case "collect":
            return collect(args[0], n.attrs[0])
        case "scan":
            return make_scan(n.attrs[0], args)
    return node(n.op, *args, attrs=n.attrs)


def reindex(x: Node, mapping: Mapping[Axis, Node]) -> Node:
    """x with its axes selected by index nodes: instance `mapping[a]` of each axis a."""
    targets = set(mapping)
    if not targets.intersection(x.axes):
        return x

    def replace(n: Node) -> Node | None:
        if not targets.intersection(n.axes):
            return n
        return None if n.args else gather_axes(n, mapping)

    return transform([x], replace)[0]


def gather_axes(leaf: Node, mapping: Mapping[Axis, Node]) -> Node:
    """Select instances of a leaf: its axes become leading axes of its shape, then are indexed."""
    chosen = [a for a in leaf.axes if a in mapping]
    if leaf.value is not None and leaf.value.ndim == 1 and leaf.axes and leaf.dtype == "int":
        run = affine(leaf.value)
        if run is not None:
            start, step = run
            return node("add", node("mul", mapping[chosen[0]], constant(step)), constant(start))
    lifted = leaf
    for a in reversed(chosen):
        lifted = collect(lifted, a)
    return known_to_be(node("gather", lifted, *(mapping[a] for a in chosen)), leaf.domain)


def collect(x: Node, axis: Axis) -> Node:
    """The instances along an axis as a new leading axis of the shape: `[x for axis]`."""
    if axis not in x.axes:
        return broadcast_to(x, (axis.size, *x.shape))
    return node("collect", x, attrs=(axis,))


def repeated(kind: str, x: Node, n: int) -> Node:
    """A reduction of n elements that are all x."""
    rule = reduction_of(kind).repeated
    return x if rule is None else node(rule[0], x, constant(rule[1](n)))


def reduce_axis(kind: str, x: Node, axis: Axis) -> Node:
    """`sum`, `prod`, `logsumexp`, `mean`, `max`, `min`, `any` or `all` over an axis, which x need not vary over."""
    if axis not in x.axes:
        return repeated(kind, x, axis.size)
    return node("reduce_axis", x, attrs=(kind, axis))


def sum_axes(x: Node, axes: Iterable[Axis]) -> Node:
    for axis in axes:
        x = reduce_axis("sum", x, axis)
    return x


def add_all(terms: Sequence[Node]) -> Node:
    """The sum of any number of terms, as a balanced tree so that no compiler's stack overflows."""
    if not terms:
        return constant(0.0)
    items = list(terms)
    while len(items) > 1:
        items = [
            node("add", *items[i : i + 2]) if i + 1 < len(items) else items[i]
            for i in range(0, len(items), 2)
        ]
    return items[0]


# --- recurrences --------------------------------------------------------------------------------------


def make_scan(spec: ScanSpec, args: Sequence[Node]) -> Node:
    """A scan whose leaves vary over exactly the axes that its arguments do."""
    ended = [ends(n) for n in postorder(spec.bodies) if (ends := OPS.get(n.op, LEAF).ends)]
    bound = {spec.time, *ended}
    outer = tuple(a for a in union_axes(args) if a not in bound)
    _, steps, fixed = spec.split(args)
    leaves: dict[int, Node] = {}

    def renew(leaf: Node, axes: tuple[Axis, ...]) -> Node:
        made = leaves[id(leaf)] = slot("scan", leaf.shape, axes, leaf.dtype)
        return made

    carries = tuple(tuple(renew(c, outer) for c in state) for state in spec.carries)
    new_steps = tuple(
        renew(leaf, tuple(a for a in arg.axes if a is not spec.time))
        for leaf, arg in zip(spec.steps, steps, strict=True)
    )
    new_fixed = tuple(renew(leaf, arg.axes) for leaf, arg in zip(spec.fixed, fixed, strict=True))
    bodies = transform(spec.bodies, lambda n: leaves.get(id(n)))
    return node(
        "scan", *args, attrs=(ScanSpec(spec.time, carries, new_steps, new_fixed, tuple(bodies), outer),)
    )


def project(scan: Node, state: int) -> Node:
    """The values of one state at every step, (steps, *shape)."""
    spec: ScanSpec = scan.attrs[0]
    leaf = spec.carries[state][0]
    return node("project", scan, attrs=(state, (spec.time.size, *leaf.shape), leaf.dtype))
