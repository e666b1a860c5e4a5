"""What a value can be: domains of single values, and arrays of them.

A `Domain` is the set one *site* takes its value in (a number, or a whole simplex); a `Type` is an array of
sites. Bounds here are numbers: a bound that depends on another variable is held beside the variable, as an
expression (see `graph.Variable`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

INF = math.inf

VECTORS = frozenset({"simplex", "ordered", "positive_ordered", "unit_vector"})
DISCRETE = frozenset({"int", "bool", "spin", "category", "permutation"})


@dataclass(frozen=True)
class Domain:
    """The set of values of one site.

    kind: real, angle, int, bool, spin, category, simplex, ordered, positive_ordered, unit_vector,
    cholesky_corr, permutation or text. `lower` and `upper` bound real (open where infinite) and int
    (both included); `size` is k of category, permutation and the constrained vectors; `names` are the
    values of a category declared as `{red, green}`.
    """

    kind: str
    lower: float = -INF
    upper: float = INF
    size: int = 0
    names: tuple[str, ...] = ()
    strict: bool = field(default=False, compare=False)  #: data may not lie on a bound: positive and unit

    @property
    def is_discrete(self) -> bool:
        return self.kind in DISCRETE

    @property
    def is_finite(self) -> bool:
        """Whether a site takes finitely many values that can be listed."""
        if self.kind == "int":
            return math.isfinite(self.lower) and math.isfinite(self.upper)
        return self.kind in ("bool", "spin", "category")

    @property
    def values(self) -> range:
        """The values of a finite domain, in order: even steps, and maybe too many to hold in memory."""
        if self.kind == "int":
            return range(int(self.lower), int(self.upper) + 1)
        if self.kind == "bool":
            return range(2)
        if self.kind == "spin":
            return range(-1, 2, 2)
        if self.kind == "category":
            return range(self.size)
        raise ValueError(f"{self} is not finite")

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The axes inside one site: (k,) for a vector, (k, k) for a Cholesky factor, else ()."""
        if self.kind in VECTORS or self.kind == "permutation":
            return (self.size,)
        if self.kind == "cholesky_corr":
            return (self.size, self.size)
        return ()

    @property
    def part(self) -> Domain:
        """The domain of one number inside a site: of an ordering an int; that of a number is its own."""
        match self.kind:
            case "permutation":
                return Domain("int", 0, self.size - 1)
            case "simplex":
                return Domain("real", 0.0, 1.0)
            case "unit_vector" | "cholesky_corr":
                return Domain("real", -1.0, 1.0)
            case "positive_ordered":
                return Domain("real", lower=0.0)
            case "ordered":
                return Domain("real")
        return self

    def __str__(self) -> str:
        match self.kind:
            case "real":
                if (self.lower, self.upper) == (-INF, INF):
                    return "real"
                if (self.lower, self.upper) == (0.0, INF):
                    return "positive"
                if (self.lower, self.upper) == (0.0, 1.0):
                    return "unit"
                if self.upper == INF:
                    return f"real(lower={self.lower:g})"
                if self.lower == -INF:
                    return f"real(upper={self.upper:g})"
                return f"real({self.lower:g}, {self.upper:g})"
            case "int":
                if (self.lower, self.upper) == (-INF, INF):
                    return "int"
                if self.upper == INF:
                    return f"int(lower={self.lower:g})"
                if self.lower == -INF:
                    return f"int(upper={self.upper:g})"
                return f"int({self.lower:g}, {self.upper:g})"
            case "category" if self.names:
                return "{" + ", ".join(self.names) + "}"
            case "angle" | "bool" | "spin" | "text":
                return self.kind
            case _:
                return f"{self.kind}({self.size})"


REAL = Domain("real")
POSITIVE = Domain("real", lower=0.0, strict=True)
UNIT = Domain("real", lower=0.0, upper=1.0, strict=True)
INT = Domain("int")
BOOL = Domain("bool")
TEXT = Domain("text")


@dataclass(frozen=True)
class Type:
    """An array of sites: `shape` is () for one. `full_shape` adds the axes inside a site."""

    domain: Domain
    shape: tuple[int, ...] = ()

    @property
    def full_shape(self) -> tuple[int, ...]:
        return self.shape + self.domain.event_shape

    @property
    def sites(self) -> int:
        return math.prod(self.shape)

    def with_shape(self, shape: tuple[int, ...]) -> Type:
        return replace(self, shape=shape)

    def __str__(self) -> str:
        return str(self.domain) + (f"[{', '.join(map(str, self.shape))}]" if self.shape else "")


def in_domain(inner: Domain | None, outer: Domain) -> bool:
    """Whether every value of one domain is surely a value of another."""
    if inner is None:
        return outer.kind in ("real", "int") and outer.lower == -INF and outer.upper == INF
    if outer.kind in ("real", "angle") and inner.kind in ("real", "int", "bool", "spin", "category", "angle"):
        low, high = value_range(inner)
        return outer.kind == "angle" or (low >= outer.lower and high <= outer.upper)
    if outer.kind == "real" and inner.event_shape:
        low, high = value_range(inner)
        return low >= outer.lower and high <= outer.upper
    if outer.kind == "int" and inner.is_discrete:
        low, high = value_range(inner)
        return low >= outer.lower and high <= outer.upper
    if outer.kind == "bool":
        return inner.kind == "bool" or (inner.kind == "int" and value_range(inner) == (0, 1))
    if outer.kind == "category":
        low, high = value_range(inner)
        return inner.is_discrete and low >= 0 and high < outer.size
    return inner.kind == outer.kind


def value_range(domain: Domain) -> tuple[float, float]:
    """The least and greatest value of a domain's numbers."""
    number = domain.part
    match number.kind:
        case "bool":
            return 0, 1
        case "spin":
            return -1, 1
        case "category":
            return 0, number.size - 1
        case "angle":
            return -math.pi, math.pi
    return number.lower, number.upper


def log_volume(domain: Domain) -> float | None:
    """The log of a domain's total base measure; None where it is infinite or not known."""
    k = domain.size
    if domain.is_finite:
        return math.log(len(domain.values))
    match domain.kind:
        case "real" if math.isfinite(domain.lower) and math.isfinite(domain.upper):
            return math.log(domain.upper - domain.lower)
        case "angle":
            return math.log(2 * math.pi)
        case "simplex":
            return -math.lgamma(k)
        case "permutation":
            return math.lgamma(k + 1)
        case "unit_vector":
            return math.log(2) + k / 2 * math.log(math.pi) - math.lgamma(k / 2)
    return None
