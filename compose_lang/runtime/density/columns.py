"""What a run records: one column a variable or `let`, with the type that decides how it is summarised.

Columns come from the density, go into the manifest as JSON, and come back when a finished run is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.ir.types import BOOL, INT, REAL, Domain, Type, value_range


@dataclass(frozen=True, eq=False)
class Column:
    """A recorded quantity. `observed` marks the elements (full_shape) that are clamped; None: none is."""

    name: str
    type: Type
    is_let: bool = False
    observed: NDArray[np.bool_] | None = None

    @property
    def size(self) -> int:
        """Numbers in one draw."""
        return math.prod(self.type.full_shape)

    @property
    def stored_dtype(self) -> str | None:
        """The smallest type that holds a discrete domain's values; None for reals, stored as they are computed.

        A lattice of spins takes a byte a site on disk.
        """
        if self.type.domain.kind == "bool":
            return "bool"
        if not self.type.domain.is_discrete:
            return None
        if self.type.domain.is_finite or self.type.domain.kind == "permutation":
            largest = max(map(abs, value_range(self.type.domain)))
            for name in ("int8", "int16", "int32"):
                if largest <= np.iinfo(name).max:
                    return name
        return "int64"

    @property
    def free(self) -> NDArray[np.intp]:
        """Flat indices of the elements that are not observed."""
        if self.observed is None:
            return np.arange(self.size)
        return np.flatnonzero(~np.broadcast_to(self.observed, self.type.full_shape))

    def element_names(self, elements: NDArray[np.intp]) -> Iterator[str]:
        """`theta[0]`, `grid[2,5]` for flat indices; the bare name of a single number."""
        shape = self.type.full_shape
        if not shape:
            yield from (self.name for _ in elements)
            return
        for place in zip(*(axis.tolist() for axis in np.unravel_index(elements, shape)), strict=True):
            yield f"{self.name}[{','.join(map(str, place))}]"

    def value_names(self, most: int) -> dict[str, int] | None:
        """The values of a finite domain under the names a reader knows; None if not finite, or too many."""
        domain = self.type.domain
        if domain.kind == "permutation" and domain.size <= most:
            return {str(place): place for place in range(domain.size)}
        if not domain.is_finite or len(domain.values) > most:
            return None
        if domain.kind == "bool":
            return {"false": 0, "true": 1}
        names = domain.names or tuple(map(str, domain.values))
        return dict(zip(names, domain.values, strict=True))

    def as_json(self) -> dict[str, Any]:
        domain = asdict(self.type.domain)
        bounds = {name: domain[name] if math.isfinite(domain[name]) else None for name in ("lower", "upper")}
        observed = None
        if self.observed is not None:
            observed = np.flatnonzero(np.broadcast_to(self.observed, self.type.full_shape)).tolist()
        return {
            "name": self.name,
            "type": str(self.type),
            "domain": {**domain, **bounds},
            "shape": list(self.type.shape),
            "is_let": self.is_let,
            "observed": observed,
        }

    @staticmethod
    def from_json(document: dict[str, Any]) -> Column:
        fields = document["domain"]
        domain = Domain(**{**fields, "names": tuple(fields["names"])})
        domain = replace(
            domain,
            lower=-math.inf if fields["lower"] is None else fields["lower"],
            upper=math.inf if fields["upper"] is None else fields["upper"],
        )
        type_ = Type(domain, tuple(document["shape"]))
        observed = None
        if document["observed"] is not None:
            observed = np.zeros(math.prod(type_.full_shape), dtype=bool)
            observed[document["observed"]] = True
            observed = observed.reshape(type_.full_shape)
        return Column(document["name"], type_, document["is_let"], observed)


def columns_of(graph: FactorGraph) -> tuple[Column, ...]:
    """What is recorded of a graph, in order: its variables, then its `let`s."""
    columns = []
    for v in graph.variables:
        observed = ~v.free.reshape((*v.type.shape, *(1,) * len(v.type.domain.event_shape)))
        held = np.broadcast_to(observed, v.type.full_shape) if observed.any() else None
        columns.append(Column(v.name, v.type, False, held))
    plain = {"real": REAL, "int": INT, "bool": BOOL}
    for d in graph.derived:
        columns.append(Column(d.name, Type(plain[d.node.dtype], d.node.shape), True, None))
    return tuple(columns)
