"""Learned parts: what is known at compile time of a factor that is learned from data, loaded, or foreign code.

A `LearnedFactor` says what to learn and from what; the weights are no part of it. What may be said of a method of
`learn` is declared by its file (`LearnerDeclaration`), which is found by its name and imports no array library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.ir.build import constant, slot
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.ir.types import Domain, Type
from compose_lang.diagnostics import Span
from compose_lang.discovery import LEARNERS

REVISION = 2
"""Raised when what a part learns from the same data changes: weights of an earlier revision are learned anew."""

LEVEL = slot("noise level")
"""The standard deviation of the noise at which learned energies are taken; 0 in the density that a program denotes."""


FOREIGN = frozenset({"extern", "pretrained"})
"""Methods of parts whose energy is other people's code, which runs under `--trust` only."""

NOISE_LEVEL = "noise_level"
"""The argument by which foreign code is given the level, and the option that says so."""


JOINT_METHOD = "diffusion"
"""The one way to fit parts together: the noise is taken from the whole, whatever it is composed of."""


@dataclass(frozen=True)
class Net:
    """A net as the program writes it: `unet(32, 64)`."""

    kind: str
    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(str, self.sizes))})"


@dataclass(frozen=True, kw_only=True)
class LearnerDeclaration:
    """What is said of a way of learning before anything is learned: its file's `LEARNER` adds how it is done."""

    name: str
    summary: str  #: one line for the reference
    domains: frozenset[str] = frozenset()  #: of subjects: real (unbounded), bounded, finite
    options: Mapping[str, Any] = field(default_factory=dict)  #: with their defaults; None: derived
    net: Net | None = None  #: the default net; None: it has none
    nets: frozenset[str] = frozenset()  #: those that it can take
    normalised: bool = False  #: whether the energies sum to 1 over the subjects
    constant_a_input: bool = False  #: whether they are known up to a constant for each input
    levels: bool = False  #: whether it is a family of densities over noise levels
    draws_from: Literal["", "uniform", "normal"] = ""  #: the noise of a draw, one number an element; "": none


@dataclass(frozen=True)
class Port:
    """A subject or an input of a part."""

    name: str
    type: Type
    is_optional: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": str(self.type), "optional": self.is_optional}


@dataclass(frozen=True, eq=False)
class LearnedFactor:
    """A factor whose energy is learned.

    data: rows by port name, (rows, *shape); empty where `file` holds the weights or `source` names foreign code.
    """

    name: str
    method: str  #: the name of a learner, one of FOREIGN, or `net` and `param` of what is fitted with others
    subjects: tuple[Port, ...]
    inputs: tuple[Port, ...]
    net: Net | None
    options: Mapping[str, Any]
    data: Mapping[str, np.ndarray]
    span: Span | None
    file: Path | None = None
    source: str = ""
    home: Path | None = None
    """The folder in which weights are kept between runs (None: the user's cache), or foreign code is looked for."""
    slot: Node = field(default_factory=lambda: slot("weights"))
    together: bool = False  #: whether it was fitted with others: a share of their density, and none by itself
    joint: Joint | None = None  #: the statement that fits it with others
    out: Type | None = None  #: of a function's value or a param, which has no energy

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def ports(self) -> tuple[Port, ...]:
        return (*self.subjects, *self.inputs)

    @property
    def learner(self) -> LearnerDeclaration | None:
        return LEARNERS.get(self.method)

    @property
    def is_foreign(self) -> bool:
        return self.method in FOREIGN

    @property
    def is_diffusion(self) -> bool:
        """Whether its levels are those of one density with noise of each added: p_σ = p * N(0, σ²)."""
        if self.method == "pretrained":
            return bool(self.options["kind"] == "diffusion")
        return self.learner is not None and self.learner.levels

    @property
    def has_levels(self) -> bool:
        """Whether it changes with the noise level; foreign code that says so may do it in any way."""
        return self.is_diffusion or bool(self.options.get(NOISE_LEVEL))

    @property
    def normalised(self) -> bool:
        return self.learner is not None and self.learner.normalised and not self.together

    @cached_property
    def description(self) -> dict[str, Any]:
        """What the weights are for, as their file says it."""
        return {
            "method": self.method,
            "subjects": [p.as_json() for p in self.subjects],
            "inputs": [p.as_json() for p in self.inputs],
            "net": None if self.net is None else str(self.net),
            "options": dict(self.options),
            "revision": REVISION,
            **({"together": True} if self.together else {}),
            **({"out": str(self.out)} if self.out is not None else {}),
        }

    @cached_property
    def key(self) -> str:
        """A hash of everything that what is learned depends on."""
        if self.joint is not None:
            return hashlib.sha256(f"{self.name} of {self.joint.key}".encode()).hexdigest()
        digest = hashlib.sha256(json.dumps(self.description, sort_keys=True).encode())
        for name, rows in sorted(self.data.items()):
            digest.update(f"{name}{rows.dtype}{rows.shape}".encode())
            digest.update(np.ascontiguousarray(rows).tobytes())
        return digest.hexdigest()


def kind_of(domain: Domain) -> str:
    """Which of a learner's domains a type belongs to: real, bounded, finite, or one that none learns."""
    if domain.kind == "real":
        return "real" if (domain.lower, domain.upper) == (-np.inf, np.inf) else "bounded"
    return "finite" if domain.is_finite else domain.kind


def used_by(graph: FactorGraph) -> list[LearnedFactor]:
    """The parts that a program's graph is made of, in order; others may be declared."""
    roots = [g.energy for g in graph.groups] + [g.violation for g in graph.groups if g.violation is not None]
    roots += [d.node for d in graph.derived]
    roots += [b for v in graph.variables for b in (v.lower, v.upper) if b is not None]
    roots += [n for o in graph.offsets.values() for n in (o.location, o.scale)]
    proposals = [r.options["proposal"] for r in graph.requests if "proposal" in r.options]
    return learned_factors_in(roots + [n for p in proposals for n in p.roots])


def learned_factors_in(roots: list[Node]) -> list[LearnedFactor]:
    """The parts below some nodes, in order."""
    factors: dict[int, LearnedFactor] = {}
    for n in postorder(roots):
        if op_of(n).learned:
            factors.setdefault(id(n.attrs[0]), n.attrs[0])
    return list(factors.values())


@dataclass(eq=False)
class Joint:
    """Parts fitted together. It is trained as a part is, by rows: `data` is what the slots of `columns` stand for.

    energy: of one row; noised: the slots of its subjects; clean: their values in the data.
    """

    name: str
    options: Mapping[str, Any]
    span: Span
    home: Path | None
    energy: Node = field(default_factory=lambda: constant(0.0))
    noised: tuple[Node, ...] = ()
    clean: tuple[Node, ...] = ()
    columns: dict[str, Node] = field(default_factory=dict)
    data: dict[str, np.ndarray] = field(default_factory=dict)
    method: str = JOINT_METHOD
    inputs: tuple[Port, ...] = ()
    net: None = None
    file: None = None

    @cached_property
    def every(self) -> tuple[LearnedFactor, ...]:
        """The parts of the composition, those that it is made of before those that use them."""
        return tuple(learned_factors_in([self.energy]))

    @cached_property
    def parts(self) -> tuple[LearnedFactor, ...]:
        """The parts that are fitted here; others were learned by themselves, and stay as they are."""
        return tuple(p for p in self.every if p.joint is self)

    @cached_property
    def description(self) -> dict[str, Any]:
        return {
            "method": "together",
            "parts": {p.name: p.description for p in self.parts},
            "options": dict(self.options),
            "revision": REVISION,
        }

    @cached_property
    def key(self) -> str:
        """A hash of everything that the weights depend on: the composition, its nets, options and data."""
        digest = hashlib.sha256(repr(sorted(self.options.items())).encode())
        digest.update(f"{REVISION}".encode())
        for part in self.every:
            digest.update(f"{part.name}{part.description if part.joint is self else part.key}".encode())
        for text in structure(self.energy):
            digest.update(text.encode())
        for name, rows in sorted(self.data.items()):
            digest.update(f"{name}{rows.dtype}{rows.shape}".encode())
            digest.update(np.ascontiguousarray(rows).tobytes())
        return digest.hexdigest()


def structure(root: Node) -> Iterator[str]:
    """An expression as texts that are the same whenever it is, in whichever process."""
    place: dict[int, int] = {}
    axes: dict[Axis, int] = {}
    for n in postorder([root]):
        place[id(n)] = len(place)
        for a in n.axes:
            axes.setdefault(a, len(axes))
        attrs = [str(axes.get(a, a)) if isinstance(a, Axis) else a.name if isinstance(a, LearnedFactor) else repr(a)
                 for a in n.attrs if n.op != "slot"]  # fmt: skip
        known = "" if n.value is None else hashlib.sha256(np.ascontiguousarray(n.value).tobytes()).hexdigest()
        sizes = [(axes[a], a.size) for a in n.axes]
        yield f"{n.op} {[place[id(a)] for a in n.args]} {attrs} {n.shape} {sizes} {n.dtype} {known};"


@dataclass(frozen=True)
class Fit:
    """What the statements ask for: one fit of all params that they name."""

    targets: tuple[str, ...]
    options: Mapping[str, Any]
    span: Span
