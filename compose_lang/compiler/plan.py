"""The plan: which variables are updated together, by which kernel, and why.

In: a factor graph, what the program or the command line asks for (`infer … by …`), and the backend's name. Out:
a `Plan`, which `compose explain` prints and the driver runs. It knows kernels by what they serve, from the table
below, so that planning imports no array library; a conformance test holds the table against the kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compose_lang.compiler.anneal import Anneal, anneal
from compose_lang.compiler.context import fail
from compose_lang.compiler.graph import FactorGraph, Proposal, Request, Variable
from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean


@dataclass(frozen=True)
class Method:
    """What the planner must know of a kernel: what it serves, where it runs, its options."""

    serves: frozenset[str]
    options: tuple[str, ...] = ()
    backends: frozenset[str] | None = None  #: None: all
    approximate: str = ""
    gradient: bool = False


CONTINUOUS, FINITE, COUNTS, PERMUTATION = "continuous", "finite", "counts", "permutation"
GRADIENT = frozenset({"jax", "torch"})

ANNEALED = "annealed"
"""Populations that walk levels of noise: no kernel, see runtime/annealing."""
TEMPERING = "tempering"
"""Replicas at all levels of noise that exchange: no kernel either."""
WALKS = (ANNEALED, TEMPERING)

METHODS: dict[str, Method] = {
    "gibbs": Method(frozenset({FINITE})),
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
    TEMPERING: Method(frozenset({CONTINUOUS}), ("levels", "moves", "move", "coarsest", "finest"), GRADIENT, "", True),
}  # fmt: skip
UNBUILT = ("exact", "gwg", "uhmc", "smc", "ais", "map")
LEVELS, LEVEL_MOVES = {ANNEALED: 120, TEMPERING: 40}, {ANNEALED: 2, TEMPERING: 1}
"""Levels of noise unasked, and moves at each."""
MOVES = {
    "mala": "",
    "hmc": "",
    "ula": "moves at each level without correction: the draws are off by an amount that shrinks with the step",
    "uhmc": "trajectories without correction: the draws are off by an amount that shrinks with the step",
}
WORDS = {"move": tuple(MOVES), "weights": ("on", "off")}
"""Options that are texts, and what they may say."""
MAY_BE_ZERO = ("warmup", "moves")
AUTO_OPTIONS = ("chains", "draws", "warmup", "thin")
WHOLE = frozenset({*AUTO_OPTIONS, "leapfrog", "max_depth", "levels", "moves"})


@dataclass(frozen=True)
class Block:
    """Variables that one kernel updates, and the reason in words."""

    variables: tuple[str, ...]
    kernel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    why: str = ""


@dataclass(frozen=True)
class Annealing:
    """How the levels of a program are walked: by a population, or by replicas that exchange."""

    anneal: Anneal
    levels: int
    moves: int
    move: str
    method: str = ANNEALED
    weights: bool = True  #: whether the population is weighed and resampled, or only carried and moved
    options: Mapping[str, float] = field(default_factory=dict)  #: coarsest and finest, where they are given


@dataclass(frozen=True)
class Plan:
    """Blocks in the order a sweep visits them, and what else the user should know."""

    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    annealing: Annealing | None = None  #: how levels are walked, where the program has any


def plan(graph: FactorGraph, backend: str, requests: Sequence[Request] | None = None) -> Plan:
    """Choose a kernel for every variable.

    requests: what is asked for, later ones over earlier ones; by default the program's own. Raises a
    ComposeError (CG0601, CG0602) where a method cannot serve its variables.
    """
    free = [v for v in graph.variables if v.free_sites]
    chosen = assign(free, graph.requests if requests is None else requests, backend)
    walked = annealing(graph, chosen, backend)
    blocks: list[Block] = []
    if walked is not None:
        blocks.append(annealed_block(walked))
        free = [v for v in free if v.name not in walked.anneal.transported]
        chosen = {name: r for name, r in chosen.items() if r.method not in WALKS}
    continuous: dict[Any, list[Variable]] = {}
    for v in free:
        request = chosen.get(v.name)
        proposal = request.options.get("proposal") if request is not None else None
        if request is not None and proposal is not None:
            if v.name == proposal.names[0]:
                blocks.append(Block(proposal.names, request.method, dict(request.options), why="asked for"))
            continue
        if not v.is_discrete:
            key = None if request is None else (request.method, tuple(sorted(request.options.items())))
            continuous.setdefault(key, []).append(v)
            continue
        blocks.append(discrete_block(graph, v, request))
    for key, members in continuous.items():
        names = tuple(v.name for v in members)
        if key is not None:
            blocks.append(Block(names, key[0], dict(key[1]), why="asked for"))
        else:
            blocks.append(continuous_block(graph, names, backend))
    notes = (*approximations(blocks), *coordinates(graph))
    if walked is not None:
        notes = (*notes, *level_notes(walked))
    return Plan(tuple(blocks), notes, walked)


def annealing(graph: FactorGraph, chosen: Mapping[str, Request], backend: str) -> Annealing | None:
    """How to walk the levels of a program that has some, unless another method is asked for."""
    found = anneal(graph)
    if found is None or not found.transported:
        for r in chosen.values():
            if r.method in WALKS:
                refuse_without_levels(r)
        return None
    requests = [chosen[name] for name in found.transported if name in chosen]
    if any(r.method not in WALKS for r in requests) or backend not in GRADIENT:
        return None
    options = dict(requests[0].options) if requests else {}
    method = requests[0].method if requests else ANNEALED
    if method == TEMPERING:  # a replica that kept its part for good would not mix
        found = anneal(graph, by_choices=False)
        assert found is not None
    for r in requests[1:]:
        if (r.method, dict(r.options)) != (method, options):
            names = ", ".join(found.transported)
            fail(
                "CG0601", f"{names} carry noise together: one method with the same options walks all", r.span
            )
    for name, least in (("levels", 2), ("moves", 1)):
        if method == TEMPERING and options.get(name, least) < least:
            text = f"the option `{name}` of `tempering` must be a whole number, at least {least}"
            fail("CG0602", text, requests[0].span)
    return Annealing(
        found,
        int(options.get("levels", LEVELS[method])),
        int(options.get("moves", LEVEL_MOVES[method])),
        str(options.get("move", "mala")),
        method,
        options.get("weights", "on") == "on",
        {name: float(options[name]) for name in ("coarsest", "finest") if name in options},
    )


def refuse_without_levels(r: Request) -> None:
    """Say of a method that needs levels of noise that the program has none."""
    if r.method == TEMPERING:
        text = "`tempering` is not built yet for a program without levels of noise"
        help = "today it serves learned diffusions and factors that read `noise_level`; nuts and hmc draw the others"
        fail("CG0901", text, r.span, help=help)
    text = f"`{r.method}` walks levels of noise, and nothing in the program depends on one"
    fail("CG0601", text, r.span, help="learned diffusions do, and factors that read `noise_level`")


def annealed_block(walked: Annealing) -> Block:
    found = walked.anneal
    options = {"levels": walked.levels, "moves": walked.moves, "move": walked.move}
    options |= {} if walked.weights else {"weights": "off"}
    options |= walked.options
    weights = "Feynman-Kac weights" if found.flows else "weights by energies"
    weights = f"{weights}, systematic resampling" if walked.weights else "no weights"
    parts = ", ".join(dict.fromkeys(f.group.label for f in found.flows)) or "its factors"
    why = f"{parts} at every level of noise: {weights}, {walked.moves} {walked.move} a level"
    if walked.method == TEMPERING:
        weights = "weights of paths" if found.flows else "weights by energies"
        how = f"{walked.moves} {walked.move} a sweep, exchanges by {weights}"
        why = f"{parts}, a replica at every level of noise: {how}"
    return Block(found.transported, walked.method, options, why=why)


def level_notes(walked: Annealing) -> list[str]:
    """What is approximate in a walk, and how terms are weighed that are no flows."""
    found = list(walked.anneal.notes)
    if MOVES[walked.move]:
        found.append(MOVES[walked.move])
    exact = "learned densities are as exact as what was learned"
    if walked.method == TEMPERING:
        steps = "exchanges are exact for fine levels" if walked.anneal.flows else "exchanges are exact"
        found.append(f"{exact}; {steps}")
    elif walked.weights:
        found.append(f"{exact}; weights are exact for many particles")
    else:
        found.append(f"{exact}; without weights the draws are as right as the moves at each level make them")
    if walked.anneal.has_scores_only:
        found.append("scores without energies: moves are accepted by the work along their way")
    return found


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
                    and n not in WALKS
                    and (m.backends is None or backend in m.backends)
                ]
                needs = "needs a gradient" if method.gradient else "lists every value"
                what = {
                    CONTINUOUS: "continuous",
                    FINITE: "discrete",
                    COUNTS: "a count of many values" if v.type.domain.is_finite else "an unbounded count",
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


def refusals(graph: FactorGraph) -> list[Diagnostic]:
    """What is wrong with a program's levels, and with its own requests on every backend that has gradients."""
    free = [v for v in graph.variables if v.free_sites]
    found: list[Diagnostic] = []
    try:
        anneal(graph)
    except ComposeError as wrong:
        found.extend(wrong.diagnostics)
    has_sound_levels = not found
    for request in graph.requests:
        errors = []
        for backend in sorted(GRADIENT):
            try:
                chosen = assign(free, [request], backend)
                if has_sound_levels:
                    annealing(graph, chosen, backend)
            except ComposeError as wrong:
                errors.append(wrong.diagnostics)
        if len(errors) == len(GRADIENT):
            found.extend(errors[0])
    return found


def check_options(r: Request, known: Sequence[str]) -> None:
    for name, value in r.options.items():
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
        what = ("a whole number" if name in WHOLE else "a number") + (
            ", at least 0" if name in MAY_BE_ZERO else " above 0"
        )
        is_number = isinstance(value, int | float) and (name not in WHOLE or float(value).is_integer())
        if not is_number or value < 0 or (value == 0 and name not in MAY_BE_ZERO):
            fail("CG0602", f"the option `{name}` of `{r.method}` must be {what}, not {value}", r.span)


def kind(v: Variable) -> str:
    """Which of a kernel's domains a variable belongs to."""
    if not v.is_discrete:
        return CONTINUOUS
    if v.type.domain.kind == "permutation":
        return PERMUTATION
    is_listed = v.type.domain.is_finite and len(v.type.domain.values) <= MOST_LISTED
    return FINITE if is_listed else COUNTS


LARGEST_LISTED = 100  #: values of a site that are listed unasked
MOST_LISTED = 10_000


def discrete_block(graph: FactorGraph, v: Variable, request: Request | None) -> Block:
    if request is not None:
        return Block((v.name,), request.method, dict(request.options), why="asked for")
    domain = v.type.domain
    if domain.kind == "permutation":
        return Block(
            (v.name,), "mh", why="an ordering: two places are swapped, or what lies between reversed"
        )
    if not domain.is_finite:
        return Block((v.name,), "mh", why="an unbounded count: its values cannot be listed")
    if len(domain.values) > LARGEST_LISTED:
        return Block(
            (v.name,), "mh", why=f"{len(domain.values)} values a site are too many to weigh each time"
        )
    why = f"finite ({len(domain.values)} values a site): each site is drawn from its exact conditional"
    return Block((v.name,), "gibbs", why=why)


def continuous_block(graph: FactorGraph, names: tuple[str, ...], backend: str) -> Block:
    if backend == "jax":
        return Block(names, "nuts", why="continuous with a gradient: trajectories tune their own length")
    if backend == "torch":
        return Block(names, "hmc", why="continuous with a gradient; nuts runs on jax only")
    return Block(names, "mh", why="continuous; the numpy backend has no gradients")


def approximations(blocks: Sequence[Block]) -> list[str]:
    return [
        f"{', '.join(b.variables)}: {METHODS[b.kernel].approximate}"
        for b in blocks
        if METHODS[b.kernel].approximate
    ]


def coordinates(graph: FactorGraph) -> list[str]:
    """What is sampled in other coordinates than its own, and why."""
    return [
        f"{name} is sampled by its offset from its location in units of its scale, which are variables too: "
        "few factors hold each of its sites, and in its own coordinate it would be drawn into a funnel"
        for name in graph.offsets
    ]
