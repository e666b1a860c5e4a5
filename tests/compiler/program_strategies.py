"""A Hypothesis strategy for the texts of well-formed random programs.

Every program has the same kinds of variables, of random sizes, and a list of statements, each written from a seed
of its own: so examples are diverse, and a failing one shrinks to few statements. What is written stays in range
and in the domain of its functions, so that the energy is a number, or infinite by a `require`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

DEPTH = 3


@dataclass(frozen=True)
class Writer:
    """Writes pieces of a program; `loops` are the indices in scope, each with its largest value."""

    random: Random
    n: int
    m: int
    loops: tuple[tuple[str, int], ...] = ()
    numbers: list[str] = field(default_factory=list)  #: names of scalars declared by `let`
    vectors: list[str] = field(default_factory=list)  #: names of arrays of n declared by `let`

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def inside(self, name: str, largest: int) -> Writer:
        return replace(self, loops=(*self.loops, (name, largest)))

    def fresh(self, kind: str) -> str:
        return f"{kind}{len(self.loops)}"

    # --- indices ---

    def index(self, size: int) -> str:
        """An index into an axis of this size."""
        options = [str(self.random.randint(-size, size - 1))]
        for name, largest in self.loops:
            if largest < size:
                options += [name] * 3 + [f"{size - 1} - {name}"]
            options.append(f"{name} % {size}")
            if largest < self.n:
                options += [f"k[{name}] % {size}"] + ([f"z[{name}]"] if size >= 3 else [])
                options += [f"b[{name}]"] if size >= 2 else []
        options += ["z[-1]"] if size >= 3 else []
        return self.pick(*options)

    def range(self) -> tuple[str, int]:
        """A domain to loop over, and its largest value."""
        options = [(f"range({self.n})", self.n - 1), (f"range({self.m})", self.m - 1)]
        if self.n > 2:
            options.append((f"range(1, {self.n}, 2)", self.n - 1))
        plates = [(name, largest) for name, largest in self.loops if name != "q"]  # q runs over a recurrence
        options += [(f"range({name})", largest - 1) for name, largest in plates if largest > 0]
        options += [(f"range({name}, {self.n})", self.n - 1) for name, largest in plates if largest < self.n]
        return self.random.choice(options)

    # --- expressions ---

    def number(self, depth: int = DEPTH) -> str:
        """A scalar."""
        leaves = [
            "t", "p", "0.5", "-2", "3", "true", f"x[{self.index(self.n)}]", f"s[{self.index(self.n)}]",
            f"y[{self.index(self.n)}, {self.index(self.m)}]", f"d[{self.index(self.n)}]", f"w[{self.index(3)}]",
            f"k[{self.index(self.n)}]", f"b[{self.index(self.n)}]", "sum(x)", *self.numbers,
            *(name for name, _ in self.loops), *(f"{v}[{self.index(self.n)}]" for v in self.vectors),
        ]  # fmt: skip
        if depth == 0 or self.random.randint(0, 3) == 0:
            return self.pick(*leaves)
        a = self.number(depth - 1)
        match self.random.randint(0, 14):
            case 0 | 1 | 2:
                return f"({a} {self.pick('+', '-', '*')} {self.number(depth - 1)})"
            case 3:
                return f"({a} / (1 + {self.pick('t^2', 'p', 'abs(x[0])')}))"
            case 4:
                return f"{self.pick('tanh', 'sin', 'abs', 'logistic', 'square', 'shifted')}({a})"
            case 5:
                return f"(if {self.truth(depth - 1)} then {a} else {self.number(depth - 1)})"
            case 6:
                return f"(if {a} > 0 then {self.pick('log', 'sqrt', 'lgamma')}({a}) else {self.number(depth - 1)})"
            case 7:
                return f"{self.pick('max', 'min')}({a}, {self.number(depth - 1)})"
            case 8 | 9:
                return self.reduction(depth)
            case 10:
                return f"sum({self.vector(depth - 1)})"
            case 11:
                return f"dot({self.vector(depth - 1)}, {self.vector(depth - 1)})"
            case 12:
                return f"log_weight(Normal({a} | {self.number(depth - 1)}, {self.scale()}))"
            case 13:
                return f"norm({self.vector(depth - 1)})"
            case _:
                return f"(-{a})"

    def reduction(self, depth: int) -> str:
        domain, largest = self.range()
        inner = self.inside(self.fresh("j"), largest)
        name = inner.loops[-1][0]
        condition = f" if {inner.filter()}" if self.random.random() < 0.5 else ""
        kind = (
            self.pick("sum", "sum", "sum", "prod")
            if condition or "(j" in domain
            else self.pick("sum", "logsumexp")
        )
        return f"{kind}({inner.number(depth - 1)} for {name} in {domain}{condition})"

    def vector(self, depth: int) -> str:
        """An array of n."""
        leaves = [
            "x",
            "s",
            "d",
            "k",
            "b",
            "x[::-1]",
            f"y[:, {self.index(self.m)}]",
            "x[z % len(x)]",
            *self.vectors,
        ]
        if depth <= 0 or self.random.random() < 0.5:
            return self.pick(*leaves)
        match self.random.randint(0, 4):
            case 0:
                return f"({self.vector(depth - 1)} {self.pick('+', '*')} {self.vector(depth - 1)})"
            case 1:
                return f"({self.vector(depth - 1)} * {self.number(depth - 1)})"
            case 2:
                return f"{self.pick('tanh', 'square', 'shifted')}({self.vector(depth - 1)})"
            case 3:
                inner = self.inside(self.fresh("j"), self.n - 1)
                name = inner.loops[-1][0]
                return f"[{inner.number(depth - 1)} for {name} in range({self.n})]"
            case _:
                return (
                    f"where({self.vector(depth - 1)} > 0, {self.vector(depth - 1)}, {self.vector(depth - 1)})"
                )

    def truth(self, depth: int = 1) -> str:
        tests = [
            f"{self.number(depth - 1 if depth else 0)} {self.pick('<', '>=')} {self.number(0)}",
            f"z[{self.index(self.n)}] {self.pick('==', '!=')} {self.pick('0', '1', '2')}",
            f"b[{self.index(self.n)}]", f"s[{self.index(self.n)}] == s[{self.index(self.n)}]",
            f"k[{self.index(self.n)}] in [1, 3]",
        ]  # fmt: skip
        test = self.pick(*tests)
        if depth > 0 and self.random.randint(0, 2) == 0:
            return f"({test} {self.pick('and', 'or')} not ({self.truth(depth - 1)}))"
        return test

    def filter(self) -> str:
        name, _ = self.loops[-1]
        return self.pick(f"{name} != 1", f"{name} % 2 == 0", f"{name} > 0", self.truth(0))

    def scale(self) -> str:
        return self.pick("1", "2.5", "p", "(0.5 + abs(t))", f"(1 + d[{self.index(self.n)}]^2)")

    def factor(self, depth: int = 2) -> str:
        """A factor over a number."""
        name = self.pick("Normal", "Laplace", "Logistic", "Cauchy")
        leaf = f"{name}({self.number(1)}, {self.scale()})"
        if depth == 0 or self.random.random() < 0.5:
            return leaf
        other = self.factor(depth - 1)
        match self.random.randint(0, 5):
            case 0:
                return f"({leaf} * {other})"
            case 1:
                return f"(0.3 * {leaf} + 0.7 * {other})"
            case 2:
                return f"(w[0] * {leaf} + (1 - w[0]) * {other})"
            case 3:
                return f"contrast({leaf}, {other}, {self.pick('1', 'p')})"
            case 4:
                return f"({other})^{self.pick('2', '0.5')}"
            case _:
                inner = self.inside(self.fresh("c"), 2)
                name = inner.loops[-1][0]
                return (
                    f"mixture(w[{name}] * Normal({inner.number(1)}, {inner.scale()}) for {name} in range(3))"
                )

    # --- statements ---

    def statement(self, depth: int = 2) -> str:
        kind = self.random.randint(0, 11 if depth else 6)
        match kind:
            case 0 | 1:
                return f"energy {self.number()}"
            case 2:
                return f"energy {self.vector(2)}"
            case 3:
                return f"{self.pick('x', 't', f'x[{self.index(self.n)}]', 'y', 'y[0]', 'x[1:]')} ~ {self.factor()}"
            case 4:
                return f"x ~ Normal({self.vector(1)}, {self.scale()})"
            case 5:
                return f"prefer {self.truth()} weight {self.pick('2', 'p')}"
            case 6:
                return f"Pull({self.number(1)}, {self.pick('x', 't', 'x[0]')} | {self.pick('k=p', 'rest=2', '0.3')})"
            case 7 | 8 | 9:
                return self.plate(depth)
            case 10:
                otherwise = f" else {{ {self.statement(depth - 1)} }}" if self.random.random() < 0.5 else ""
                return f"if {self.truth()} {{ {self.statement(depth - 1)} }}{otherwise}"
            case _:
                return f"require {self.pick('sum(k) >= 1', 'not (b[0] and b[-1])', 'x < 3', self.truth())}"

    def plate(self, depth: int) -> str:
        inner, clauses = self, []
        for _ in range(self.random.randint(1, 2)):
            domain, largest = inner.range()
            name = inner.fresh("i")
            clauses.append(f"{name} in {domain}")
            inner = inner.inside(name, largest)
        condition = f" if {inner.filter()}" if self.random.random() < 0.5 else ""
        body = "; ".join(inner.statement(depth - 1) for _ in range(self.random.randint(1, 2)))
        return f"for {', '.join(clauses)}{condition} {{ {body} }}"

    def let(self) -> str:
        """A scalar, an array, or a recurrence."""
        place = len(self.numbers) + len(self.vectors)
        match self.random.randint(0, 2):
            case 0:
                text = f"let u{place} = {self.number(2)}"
                self.numbers.append(f"u{place}")
            case 1:
                text = f"let v{place} = {self.vector(2)}"
                self.vectors.append(f"v{place}")
            case _:
                name = f"r{place}"
                body = self.inside("q", self.n - 1).number(2)
                step = f"let {name}[q] = 0.5 * tanh({name}[q - 1]) + {body} for q in range(1, {self.n})"
                text = f"let {name}[0] = {self.number(1)}" + (f"\n{step}" if self.n > 1 else "")
                self.vectors.append(name)
        return text


HEADER = """
fn square(x: real) -> real = x * x
fn shifted(x: real, by: real = 0.5) -> real {{ let u = x + by; u }}
factor Pull(a: real, b: real | k: positive = 1, rest: real = 0) {{ energy 0.5 * k * (abs(a - b) - rest)^2 }}
data d: real[{n}] = [{d}]
var x: real[{n}] ~ Normal(0, 1)
var y: real[{n}, {m}] ~ Normal(0, 1)
var t: real ~ Normal(0, 1)
var p: positive ~ Exponential(1)
var w: simplex(3); var s: spin[{n}]; var z: category(3)[{n}]; var b: bool[{n}]; var k: int(0, 4)[{n}]
"""


def write(n: int, m: int, seeds: Sequence[int]) -> str:
    """A program over arrays of n and m, with a statement for each seed."""
    lines = [HEADER.format(n=n, m=m, d=", ".join(["0.5", "-1.5", "2", "0.25"][:n]))]
    writer = Writer(Random(0), n, m)
    for seed in seeds:
        writer = replace(writer, random=Random(seed))
        lines.append(writer.let() if seed % 4 == 0 else writer.statement())
    return "\n".join([*lines, ""])


def programs() -> SearchStrategy[str]:
    """Texts of random programs."""
    seeds = st.lists(st.integers(0, 2**24), min_size=1, max_size=5, unique=True)
    return st.builds(write, st.integers(1, 4), st.integers(1, 3), seeds)
