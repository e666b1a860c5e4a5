"""What `compose explain` says: a plan in words, and what a diagnostic's code means.

The texts of the codes are sections of `explanations.md`, one a code: what is wrong, an example, its cure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from textwrap import indent
from typing import TYPE_CHECKING, Any

from compose_lang.codes import CODES
from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean
from compose_lang.runtime.planning.optimising import METHOD as MAP

if TYPE_CHECKING:
    from compose_lang.compiler.graph.factor_graph import FactorGraph
    from compose_lang.runtime.planning.block import Block
    from compose_lang.runtime.planning.plan import Plan
    from compose_lang.runtime.runs.settings import Settings

PROGRAM = r"```cg (bad|good)\n(.*?)```\n"
"""A program in `explanations.md`, to be used with re.DOTALL."""


def explain_plan(graph: FactorGraph, plan: Plan) -> str:
    """The structure found, then each block with its kernel and the reason for it."""
    lines = [f"{_count(len(graph.variables), 'variable')}, {_count(len(graph.groups), 'group')} of factors"]
    for variable in graph.variables:
        fixed = variable.type.sites - variable.free_sites
        note = f", {fixed:,} of {variable.type.sites:,} observed" if fixed else ""
        lines.append(f"  {variable.name}: {variable.type}{note}")
    for group in graph.groups:
        times = f" × {group.instances:,}" if group.instances > 1 else ""
        over = ", ".join(sorted(group.variables)) or "data only"
        lines.append(f"  {group.label or group.kind}{times} over {over}")
    lines += ["", "a sweep updates, in this order:", *map(explain_block, plan.described)]
    if plan.notes:
        lines += ["", *(f"note: {note}" for note in plan.notes)]
    return "\n".join(lines)


def explain_block(block: Block) -> str:
    """One line: `nuts draws mu, tau, theta: continuous with a gradient`."""
    said = block.describe()
    options = ", ".join(f"{name}={value}" for name, value in said.get("options", {}).items())
    kernel = f"{said['kernel']}({options})" if options else said["kernel"]
    how = " exactly" if said["exact"] else ""
    does = "seeks the best" if said["kernel"] == MAP.name else "draws"
    return f"  {kernel} {does} {', '.join(block.key)}{how}: {said['why']}"


def explain_settings(settings: Settings, plan: Plan) -> str:
    """One line: seed, chains, draws, backend."""
    if plan.annealing is not None and plan.annealing.by_population:
        return (
            f"seed {settings.seed}: {_count(settings.chains, 'population')} of {settings.draws:,} particles, each a "
            f"draw, {settings.backend} in {settings.precision}"
        )
    if plan.optimising is not None and plan.optimising.is_exact:
        return "solved by elimination: nothing is left to chance"
    if plan.optimising is not None:
        return (
            f"seed {settings.seed}: {settings.chains:,} searches, each annealed over {settings.warmup:,} sweeps, "
            f"{settings.backend} in {settings.precision}"
        )
    if plan.is_exact:
        return (
            f"seed {settings.seed}: {_count(settings.chains, 'chain')} of {settings.draws:,} independent draws, "
            "without warm-up"
        )
    thin = f", one each {settings.thin} sweeps" if settings.thin > 1 else ""
    return (
        f"seed {settings.seed}: {_count(settings.chains, 'chain')} of {settings.draws:,} draws{thin} after "
        f"{settings.warmup:,} warm-up sweeps, {settings.backend} in {settings.precision}"
    )


def plan_as_json(plan: Plan) -> list[dict[str, Any]]:
    """A plan as the JSON documents show it."""
    return [block.describe() for block in plan.described]


def explain_code(code: str) -> str:
    """The title of a code and its section of `explanations.md`, programs indented under `wrong:` and `right:`."""
    if code not in CODES:
        help = did_you_mean(code, CODES) or "the codes are CG and four digits, as in error[CG0203]"
        raise ComposeError(Diagnostic("CG0602", f"there is no diagnostic {code}", help=help), exit_code=2)
    words = {"bad": "wrong", "good": "right"}

    def shown(block: re.Match[str]) -> str:
        return f"\n{words[block[1]]}:\n" + indent(block[2], "    ")

    return f"{code}: {CODES[code]}\n\n" + re.sub(
        r"\n?" + PROGRAM, shown, explanations()[code], flags=re.DOTALL
    )


@cache
def explanations() -> Mapping[str, str]:
    """The sections of `explanations.md` by code."""
    text = files("compose_lang").joinpath("explanations.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (CG\d{4})\n", text, flags=re.MULTILINE)
    return {code: body.strip() + "\n" for code, body in zip(parts[::2], parts[1::2], strict=True)}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
