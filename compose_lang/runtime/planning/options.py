"""The methods a program may ask for: what each serves, where it runs, which options it has; and what is asked.

Planning imports no array library, so what it must know of the kernels stands in the table below; a conformance
test holds the table against the kernels.

Before: the requests of a factor graph. After: `plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compose_lang.compiler.graph.factor_graph import Proposal, Request, Variable
from compose_lang.diagnostics import did_you_mean, fail


@dataclass(frozen=True)
class Method:
    """What the planner must know of a kernel: what it serves, where it runs, its options."""

    serves: frozenset[str]
    options: tuple[str, ...] = ()
    backends: frozenset[str] | None = None  #: None: all
    approximate: str = ""
    gradient: bool = False
    sees: str = "sites"  #: what a kernel sees of a finite variable, see runtime/kernels/common/kernel.py


CONTINUOUS, FINITE, COUNTS, PERMUTATION = "continuous", "finite", "counts", "permutation"
GRADIENT = frozenset({"jax", "torch"})

ANNEALED = "annealed"
"""Populations that walk levels of noise: no kernel, see runtime/annealing."""
TEMPERING = "tempering"
"""Replicas that exchange, at all levels of noise or at shares of the energy: no kernel either."""
WALKS = (ANNEALED, TEMPERING)
MAP = "map"
"""The best point there is to be found, by the kernels of the plan and by descent."""
NO_KERNELS = (*WALKS, MAP)
FULL_ENERGY = {"nuts": "hmc", "exact": "gibbs"}
"""Methods that do not run at shares of the energy, as tempering and annealing do, and what does instead."""
EXACT = "exact"
"""Joint draws of finite variables by elimination."""

METHODS: dict[str, Method] = {
    EXACT: Method(frozenset({FINITE}), ("max_cost",), sees="joint"),
    "gibbs": Method(frozenset({FINITE})),
    "trees": Method(frozenset({FINITE}), sees="forests"),
    "swendsen_wang": Method(frozenset({FINITE}), sees="bonds"),
    "gwg": Method(frozenset({FINITE}), ("propose", "balance", "moves", "length", "step"), sees="changes"),
    "exchange": Method(frozenset({FINITE}), sees="sums"),
    "kempe": Method(frozenset({FINITE}), sees="chains"),
    "blocks": Method(frozenset({FINITE}), ("size",), sees="subsets"),
    "mh": Method(frozenset({CONTINUOUS, FINITE, COUNTS, PERMUTATION}), ("step", "proposal")),
    "ula": Method(
        frozenset({CONTINUOUS}), ("step",), GRADIENT,
        "Langevin steps without correction: the draws are off by an amount that shrinks with the step", True,
    ),
    "mala": Method(frozenset({CONTINUOUS}), ("step",), GRADIENT, "", True),
    "hmc": Method(frozenset({CONTINUOUS}), ("step", "leapfrog", "target_accept"), GRADIENT, "", True),
    "nuts": Method(frozenset({CONTINUOUS}), ("step", "target_accept", "max_depth"), frozenset({"jax"}), "", True),
    ANNEALED: Method(
        frozenset({CONTINUOUS}), ("levels", "moves", "move", "weights", "coarsest", "finest"), GRADIENT, "", True,
    ),
    TEMPERING: Method(
        frozenset({CONTINUOUS, FINITE, COUNTS, PERMUTATION}),
        ("levels", "moves", "hottest", "move", "coarsest", "finest"),
    ),
    MAP: Method(frozenset({CONTINUOUS, FINITE, COUNTS, PERMUTATION})),
}  # fmt: skip
UNBUILT = ("uhmc", "smc", "ais")
LEVELS, LEVEL_MOVES = {ANNEALED: 120, TEMPERING: 40}, {ANNEALED: 2, TEMPERING: 1}
"""Levels of noise unasked, and moves at each."""
MOVES = {
    "mala": "",
    "hmc": "",
    "ula": "moves at each level without correction: the draws are off by an amount that shrinks with the step",
    "uhmc": "trajectories without correction: the draws are off by an amount that shrinks with the step",
}
WORDS = {
    "move": tuple(MOVES),
    "weights": ("on", "off"),
    "propose": ("path", "site", "langevin"),
    "balance": ("sqrt", "barker"),
}
"""Options that are texts, and what they may say."""
BELONGS = {"length": ("propose", "path"), "step": ("propose", "langevin")}
"""Options of `gwg` that count for one way to propose only, of which the first named is taken unasked."""
MAY_BE_ZERO = ("warmup", "moves", "hottest")
AUTO_OPTIONS = ("chains", "draws", "warmup", "thin")
WHOLE = frozenset({*AUTO_OPTIONS, "leapfrog", "max_depth", "levels", "moves", "size"})
MOST_LISTED = 10_000
"""Values of a site that can be weighed at once."""


def assign(free: Sequence[Variable], requests: Sequence[Request], backend: str) -> dict[str, Request]:
    """The request that holds for each variable, checked: the method exists and can serve it."""
    chosen: dict[str, Request] = {}
    for r in requests:
        if r.method == "auto":
            check_options(r, AUTO_OPTIONS)
            continue
        if r.method in UNBUILT:
            fail(
                "CG0901",
                f"the method `{r.method}` is not built yet",
                r.span,
                help=f"there are {', '.join(METHODS)}",
            )
        method = METHODS.get(r.method)
        if method is None:
            help = did_you_mean(r.method, METHODS) or f"there are auto, {', '.join(METHODS)}"
            fail("CG0602", f"there is no method `{r.method}`", r.span, help=help)
        check_options(r, method.options)
        if method.backends is not None and backend not in method.backends:
            help = f"`{r.method}` runs on {', '.join(sorted(method.backends))}; hmc runs on both"
            fail("CG0601", f"the method `{r.method}` does not run on {backend}", r.span, help=help)
        targets = [v for v in free if not r.targets or v.name in r.targets]
        for v in targets:
            if kind(v) not in method.serves:
                fits = [
                    n
                    for n, m in METHODS.items()
                    if kind(v) in m.serves
                    and n not in NO_KERNELS
                    and (m.backends is None or backend in m.backends)
                ]
                needs = "needs a gradient" if method.gradient else "lists every value"
                what = {
                    CONTINUOUS: "continuous",
                    FINITE: "discrete",
                    COUNTS: "a count of many values" if v.support.is_finite else "an unbounded count",
                    PERMUTATION: "an ordering",
                }[kind(v)]
                text = f"`{r.method}` {needs}, but `{v.name}` is {what} ({v.type.domain})"
                fail(
                    "CG0601",
                    text,
                    r.span or v.span,
                    help=f"for `{v.name}` there {'are' if len(fits) > 1 else 'is'} {', '.join(fits)}",
                )
            chosen[v.name] = r
    return chosen


def check_options(r: Request, known: Sequence[str]) -> None:
    for name, value in r.options.items():
        if r.method == "gwg" and name in BELONGS and r.options.get("propose", "path") != BELONGS[name][1]:
            text = f'the option `{name}` of `gwg` counts with propose="{BELONGS[name][1]}" only'
            fail("CG0602", text, r.span)
        if name not in known:
            help = did_you_mean(name, known) or (f"it has {', '.join(known)}" if known else "it has none")
            fail("CG0602", f"`{r.method}` has no option `{name}`", r.span, help=help)
        if name in WORDS:
            if value not in WORDS[name]:
                text = f"the option `{name}` of `{r.method}` is one of {', '.join(WORDS[name])}"
                fail("CG0602", text, r.span)
            continue
        if isinstance(value, Proposal):
            if len(r.options) > 1:
                fail("CG0602", "a proposal has steps of its own: it stands alone", r.span)
            continue
        may_be_zero = name in MAY_BE_ZERO and r.method != "gwg"
        what = ("a whole number" if name in WHOLE else "a number") + (
            ", at least 0" if may_be_zero else " above 0"
        )
        is_number = isinstance(value, int | float) and (name not in WHOLE or float(value).is_integer())
        if not is_number or value < 0 or (value == 0 and not may_be_zero):
            fail("CG0602", f"the option `{name}` of `{r.method}` must be {what}, not {value}", r.span)


def kind(v: Variable) -> str:
    """Which of a kernel's domains a variable belongs to."""
    if not v.is_discrete:
        return CONTINUOUS
    if v.type.domain.kind == "permutation":
        return PERMUTATION
    is_listed = v.support.is_finite and len(v.support.values) <= MOST_LISTED
    return FINITE if is_listed else COUNTS
