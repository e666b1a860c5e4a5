"""The methods that a program may ask for, and which of them is asked for each variable.

A kernel is known by its file, what moves along levels or seeks the best point by the planner's file of it.

Before: the requests of a factor graph. After: `plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compose_lang.compiler.graph.factor_graph import Proposal, Request, Variable
from compose_lang.diagnostics import did_you_mean, fail
from compose_lang.runtime.backends import backend_names
from compose_lang.runtime.kernels import discover, find_kernel, kernel_names
from compose_lang.runtime.kernels.common.kernel import Kernel
from compose_lang.runtime.kernels.common.method import Method, Option
from compose_lang.runtime.planning import levels, optimising, populations, tempering

NOT_KERNELS = {
    m.name: m
    for m in (levels.METHOD, tempering.METHOD, populations.METHOD, populations.AIS, optimising.METHOD)
}
UNBUILT = ("uhmc",)
AUTO = Method(
    name="auto",
    summary="leaves the choice of kernels to the planner",
    serves=frozenset({"continuous", "finite", "counts", "permutation"}),
    options={
        "chains": Option(4, "chains that are run", "whole number"),
        "draws": Option(1000, "draws of each chain", "whole number"),
        "warmup": Option(1000, "sweeps before the first draw", "whole number", may_be_zero=True),
        "thin": Option(1, "sweeps to a draw", "whole number"),
    },
)


def method_names() -> tuple[str, ...]:
    """The names of all methods, those of the kernels first."""
    return (*kernel_names(), *NOT_KERNELS)


def find_method(name: str) -> Method | None:
    """The method of that name, if there is one."""
    return NOT_KERNELS.get(name) or find_kernel(name)


def assign(free: Sequence[Variable], requests: Sequence[Request], backend: str) -> dict[str, Request]:
    """The request that holds for each variable, checked: the method exists and can serve it."""
    chosen: dict[str, Request] = {}
    for r in requests:
        if r.method == AUTO.name:
            check_options(r, AUTO.options)
            continue
        method = checked(r, backend)
        for v in free if not r.parts else ():
            if not r.targets or v.name in r.targets:
                if v.kind not in method.serves:
                    refuse(r, method, v, backend)
                chosen[v.name] = r
    return chosen


def assign_parts(free: Sequence[Variable], requests: Sequence[Request], backend: str) -> list[Request]:
    """The requests for parts of variables that have free sites there, checked."""
    named = {v.name: v for v in free}
    kept = []
    for r in requests:
        if not r.parts:
            continue
        method = checked(r, backend)
        if not isinstance(method, Kernel):
            text = f"`{r.method}` is of whole variables, not of parts such as `{next(iter(r.parts.values())).text}`"
            fail("CG0601", text, r.span)
        for name in r.targets:
            if name in named and named[name].kind not in method.serves:
                refuse(r, method, named[name], backend)
        if any(name in named for name in r.targets):
            kept.append(r)
    return kept


def checked(r: Request, backend: str) -> Method:
    """The method that is asked for, with its options, on this backend."""
    method = method_of(r)
    check_options(r, method.options)
    if not method.runs_on(backend):
        help = f"`{r.method}` runs on {', '.join(filter(method.runs_on, backend_names()))}"
        instead = find_kernel(method.at_shares) if isinstance(method, Kernel) else None
        if instead is not None and instead.runs_on(backend):
            help += f"; `{instead.name}` runs on {backend} too"
        fail("CG0601", f"the method `{r.method}` does not run on {backend}", r.span, help=help)
    return method


def method_of(r: Request) -> Method:
    """The method that is asked for; CG0602 or CG0901 where there is none."""
    method = find_method(r.method)
    if r.method in UNBUILT:
        help = f"there are {', '.join(method_names())}"
        fail("CG0901", f"the method `{r.method}` is not built yet", r.span, help=help)
    if method is None:
        names = method_names()
        help = did_you_mean(r.method, names) or f"there are {AUTO.name}, {', '.join(names)}"
        fail("CG0602", f"there is no method `{r.method}`", r.span, help=help)
    return method


def refuse(r: Request, method: Method, v: Variable, backend: str) -> None:
    """CG0601: a method cannot serve a variable."""
    needs = "needs a gradient" if method.needs_gradient else "lists every value"
    what = {
        "continuous": "continuous",
        "finite": "discrete",
        "counts": "a count of many values" if v.support.is_finite else "an unbounded count",
        "permutation": "an ordering",
    }[v.kind]
    text = f"`{r.method}` {needs}, but `{v.name}` is {what} ({v.type.domain})"
    fits = [name for name, k in discover().items() if v.kind in k.serves and k.runs_on(backend)]
    help = f"for `{v.name}` there {'are' if len(fits) > 1 else 'is'} {', '.join(fits)}"
    fail("CG0601", text, r.span or v.span, help=help)


def check_options(r: Request, known: Mapping[str, Option]) -> None:
    """CG0602 where an option does not exist, or may not have its value."""
    for name, value in r.options.items():
        option = known.get(name)
        if option is None:
            help = did_you_mean(name, known) or (f"it has {', '.join(known)}" if known else "it has none")
            fail("CG0602", f"`{r.method}` has no option `{name}`", r.span, help=help)
        if option.counts_with is not None:
            other, choice = option.counts_with
            if r.options.get(other, known[other].default) != choice:
                text = f'the option `{name}` of `{r.method}` counts with {other}="{choice}" only'
                fail("CG0602", text, r.span)
        if isinstance(value, Proposal):
            if len(r.options) > 1:
                fail("CG0602", "a proposal has steps of its own: it stands alone", r.span)
        elif not option.admits(value):
            text = f"the option `{name}` of `{r.method}` "
            text += (
                f"is one of {', '.join(option.choices)}"
                if option.kind == "text"
                else f"must be {option.demand}, not {value}"
            )
            fail("CG0602", text, r.span)
