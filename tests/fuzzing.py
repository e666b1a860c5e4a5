"""Programs by the thousand, from three sources, through every stage that a check runs: only diagnostics may come out.

`python -m tests.fuzzing KIND START COUNT` by hand, KIND one of tree, scoped, grammar, mutation; test_fuzzing.py runs
some of each. What a check takes is counted in functions called, on every machine the same; `benchmarks/fuzz.py` takes
the time.

tree: syntax trees at random, printed. scoped: programs whose names and shapes fit, so that elaboration goes deep.
grammar: random walks over the parser's own automaton. mutation: real programs with tokens dropped, swapped, replaced.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from compose_lang.api.check import checked_program, without_data
from compose_lang.api.model import Model
from compose_lang.diagnostics import ComposeError, Source
from compose_lang.grammar.automaton import Automaton
from compose_lang.grammar.build_ast import Builder
from compose_lang.grammar.parser import parse
from compose_lang.grammar.printer import print_module
from compose_lang.grammar.tokens import Token
from compose_lang.report.dump import dump_stage
from compose_lang.runtime.planning.plan import plan
from tests.compiler.program_strategies import programs
from tests.grammar.strategies import modules
from tests.test_bad_input import GOOD, mutant
from tests.work import calls

MOST = 200_000  #: functions that one check in a hundred may call, and none ten times as many

Measure = Callable[[Callable[[], None]], float]  #: what a call takes


def examine(name: str, text: str, measure: Measure = calls) -> float:
    """Check a program, and what comes after where it has no errors: its work. Anything but a diagnostic escapes."""
    source = Source(name, text)
    program = None

    def check() -> None:
        nonlocal program
        try:
            program = checked_program(source)
        except ComposeError as wrong:
            assert without_data(wrong.diagnostics)

    work = measure(check)
    try:
        tree = parse(source)
    except ComposeError:
        return work
    assert parse(Source(name, print_module(tree))) == tree, "the printed program is another one"
    if program is not None:
        try:
            Model(program).explain()
            plan(program.graph, "torch")
        except ComposeError:
            pass
        for stage in ("ast", "typed", "graph", "energy"):
            dump_stage(program, stage)
    return work


def drawn(strategy: object, start: int, count: int) -> Iterator[str]:
    """Examples of a Hypothesis strategy, the same for the same numbers."""
    found: list[str] = []

    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def collect(value: object) -> None:
        found.append(value if isinstance(value, str) else print_module(value))  # type: ignore[arg-type]

    collect()
    yield from found[start:]


NAMES = (
    "x",
    "y",
    "n",
    "mu",
    "z",
    "Normal",
    "F",
    "sum",
    "range",
    "s",
    "exp",
    "Gamma",
    "pairs",
    "i",
    "real",
    "k",
)
TYPES = (
    "real",
    "positive",
    "int",
    "bool",
    "spin",
    "simplex",
    "category",
    "unit",
    "angle",
    "ordered",
    "permutation",
)
WORDS = {"NUMBER": ("0", "1", "2", "0.5", "3", "1e3"), "STRING": ('"a"', '"b.csv"'), "_END": ("\n",)}
WALK = 120  #: tokens


def walk(seed: int) -> str:
    """A random walk over what the grammar allows next, which turns to closing brackets after a while."""
    chance = random.Random(seed)
    source = Source("<walk>", "")
    automaton = Automaton(source, Builder(Source("<walk>", " " * 10_000)), "start")
    parts: list[str] = []
    before = ""
    for step in range(WALK):
        allowed = sorted(automaton.accepts() - {"FOREIGN", "BAD", "$END"})
        closing = [k for k in ("RPAR", "RSQB", "RBRACE", "_END", "NAME", "NUMBER") if k in allowed]
        kind = (
            chance.choice(closing)
            if closing and step > WALK // 3 and chance.random() < 0.8
            else chance.choice(allowed)
        )
        pool = TYPES if kind == "NAME" and before == "COLON" else NAMES
        text = chance.choice(pool if kind == "NAME" else WORDS.get(kind, (spelled(kind),)))
        try:
            if not automaton.feed(kind, Token(kind, text, step, step + 1), (step, step + 1)):
                break
        except ComposeError:
            break
        parts.append(text if kind == "_END" else f"{text} ")
        before = kind
    return "".join(parts)


SIGNS = {
    "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}", "COMMA": ",", "COLON": ":",
    "DOT": ".", "EQUAL": "=", "TILDE": "~", "VBAR": "|", "ARROW": "->", "LESSTHAN": "<", "MORETHAN": ">",
    "LESSEQUAL": "<=", "MOREEQUAL": ">=", "EQEQUAL": "==", "NOTEQUAL": "!=", "PLUS": "+", "MINUS": "-", "STAR": "*",
    "SLASH": "/", "FLOOR": "//", "PERCENT": "%", "AT": "@", "POWER": "^",
}  # fmt: skip


def spelled(kind: str) -> str:
    return SIGNS.get(kind, kind.lower())


def mutations(start: int, count: int) -> Iterator[str]:
    texts = [path.read_text(encoding="utf-8") for path in GOOD]
    for seed in range(start, start + count):
        chance = random.Random(seed)
        yield mutant(chance.choice(texts), chance.choice(texts), chance)


SOURCES: dict[str, Callable[[int, int], Iterator[str]]] = {
    "tree": lambda start, count: drawn(modules, start, start + count),
    "scoped": lambda start, count: drawn(programs(), start, start + count),
    "grammar": lambda start, count: (walk(seed) for seed in range(start, start + count)),
    "mutation": mutations,
}


def fuzz(kind: str, start: int, count: int, measure: Measure = calls, most: float = 10 * MOST) -> list[float]:
    """Examine programs; what each check took. What breaks is raised with the program that did it."""
    work = []
    for number, text in enumerate(SOURCES[kind](start, count), start):
        try:
            work.append(examine("<fuzz>", text, measure))
        except Exception as bug:
            Path("fuzz_failure.cg").write_text(text, encoding="utf-8")
            raise AssertionError(f"{kind} {number}: {bug!r}\n{text}") from bug
        assert work[-1] < most, f"{kind} {number} took {work[-1]:,.0f}\n{text}"
    return work


def summary(kind: str, work: list[float], unit: str = "calls") -> str:
    ordered = sorted(work)
    median, p99, most = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.99, 1))
    took = f"{median:,.1f} {unit} (median), {p99:,.1f} (p99), {most:,.1f} (most)"
    return f"{kind}: {len(ordered):,} programs; a check took {took}"


if __name__ == "__main__":
    print(summary(sys.argv[1], fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
