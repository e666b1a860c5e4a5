"""What a sampling kernel is: `KERNEL` in a file of `kernels/`, found by the file's name.

A kernel updates one block of variables and leaves the program's density, given everything outside the block,
invariant (or says in `approximate` how it does not). It sees the density through a block:

- `ContinuousBlock`: one flat vector of unconstrained coordinates a chain, `u: (chains, D)`, and the energy of
  the whole program as a function of it, log-Jacobian of the transforms included;
- `DiscreteBlock`: the sites of one discrete variable, split into classes whose sites share no factor, and the
  energies of candidate values from the factors that touch a site;
- `ForestBlock`: the sites of one finite variable in classes that hang together as trees, each drawn given the others;
- `BondBlock`: the sites of one finite variable as pairs that prefer to agree or to differ, in fields;
- `ChangeBlock`: the sites of one finite variable, and roughly what every single change of them does to the energy;
- `PairBlock`: sets of the sites of one discrete variable whose sums must stay, and the energies of pairs;
- `ChainBlock`: the sites of one discrete variable as a graph of what must differ;
- `SubsetBlock`: small sets of the sites of one finite variable, and the energies of their joint values;
- `PermutationBlock`: the orderings of one variable of type `permutation`, in classes that share no factor, and the
  energies of candidate orderings from the factors that read what differs;
- `ObjectBlock` (`value_blocks.py`): the objects of one continuous variable (rows of an array, or numbers) in their own
  values, in classes that share no factor, and the energies of candidates from the factors that touch an object;
- `LineBlock` (there too): real variables in their own values as one vector a chain, and the chord of a line through it;
- `JointBlock`: finite variables that can be drawn together, given all else;
- `ProposalBlock`: variables of any kind with a density of the program's own that proposes for them.

Noise is an argument: `noise` of a bound kernel says what one step needs of each chain, and the driver hands
it over as arrays (chains, *shape). What a kernel keeps between steps is its state: a tree of arrays whose
leading axis is the chain, so that a run is resumed from the state alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.method import Method, Option

if TYPE_CHECKING:
    from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
    from compose_lang.runtime.kernels.common.structure import Match


class ContinuousBlock(Protocol):
    names: tuple[str, ...]
    size: int  #: D, the number of unconstrained coordinates
    alone: bool  #: whether no other block moves between its steps, so that energies may be kept

    @property
    def has_walls(self) -> bool:
        """Whether hard constraints, more than bounds, make its energy infinite somewhere."""
        ...

    def ravel(self, position: Position) -> Array:
        """The block's coordinates (chains, D)."""
        ...

    def unravel(self, position: Position, u: Array) -> Position:
        """The position with the block's coordinates replaced by u (chains, D)."""
        ...

    def energy(self, u: Array, position: Position) -> Array:
        """Energy (chains,) in nats of the block's coordinates given the rest of the position."""
        ...

    def energy_and_gradient(self, u: Array, position: Position) -> tuple[Array, Array]:
        """Energy (chains,) and its gradient (chains, D)."""
        ...


@runtime_checkable
class DiscreteBlock(Protocol):
    name: str
    sites: int  #: number of sites of the variable that are free
    values: Sequence[int] | None  #: the values of a finite domain, in even steps; None for unbounded counts
    lower: float  #: bounds of an unbounded count (±inf where there is none)
    upper: float
    classes: int  #: number of colour classes
    width: int  #: sites in the largest class; smaller ones are padded

    def sites_of(self, cls: Any) -> Array:
        """Site numbers (width,) of a class in 0 … sites, where `sites` itself marks padding."""
        ...

    def current(self, position: Position, cls: Any) -> Array:
        """Values (chains, width) of a class's sites."""
        ...

    def energies(self, position: Position, cls: Any, candidates: Array) -> Array:
        """Energies (chains, width, K) of candidates of that shape, from the factors that touch each site."""
        ...

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        """The position with the class's sites set to values (chains, width); padding is ignored."""
        ...


class ForestBlock(Protocol):
    name: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many sites each class has; a site may be in several."""
        ...

    def draw(self, position: Position, cls: int, uniform: Array) -> Position:
        """The position with a class drawn jointly given all else. uniform (chains, sites of the class): in (0, 1)."""
        ...


class BondBlock(Protocol):
    """Energy Σ field(site, value) - Σ J [a = b + offset], the values counted from 0 and modulo how many there are."""

    name: str
    sites: int
    values: Sequence[int]
    pairs: int
    has_field: bool

    @property
    def ends(self) -> tuple[Array, Array]:
        """The sites a and b of each pair: (pairs,) each."""
        ...

    @property
    def offsets(self) -> Array:
        """By how much a pair prefers a's value to be beyond b's: (pairs,)."""
        ...

    @property
    def couplings(self) -> Array:
        """J ≥ 0 (chains or 1, pairs) in nats."""
        ...

    def field(self, position: Position) -> Array:
        """Energies (chains, sites, values) of each value of each site."""
        ...

    def places(self, position: Position) -> Array:
        """Which value each site has, counted from 0: (chains, sites)."""
        ...

    def assign(self, position: Position, places: Array) -> Position:
        """The position with the sites set to the values of these numbers (chains, sites)."""
        ...


class ChangeBlock(Protocol):
    """Values are counted from 0, in the order of the type."""

    name: str
    sites: int
    values: Sequence[int]
    ordered: bool  #: whether values that are near in order are near in meaning

    def energy_and_changes(self, position: Position) -> tuple[Array, Array]:
        """Energy (chains,), and what it changes by (chains, sites, values) where one site takes another value.

        The differences may be rough; that of the present value is 0.
        """
        ...

    def places(self, position: Position) -> Array:
        """Which value each site has: (chains, sites)."""
        ...

    def assign(self, position: Position, places: Array) -> Position:
        """The position with the sites set to the values of these numbers (chains, sites)."""
        ...


class PairBlock(Protocol):
    name: str
    sites: int
    values: Sequence[int]
    is_even: bool  #: whether a pair keeps its sum just if it keeps that of its values
    classes: int  #: of sets that share no site and no factor
    width: int  #: sets in the largest class; smaller ones are padded
    length: int  #: sites of the largest set; smaller ones are padded

    def members_of(self, cls: Any) -> Array:
        """The sites of a class's sets (width, length), `sites` for padding."""
        ...

    def current(self, position: Position, sites: Array) -> Array:
        """The values of sites, (chains, width) each."""
        ...

    def energies(self, position: Position, first: Array, second: Array, one: Array, other: Array) -> Array:
        """Energies (chains, width, C) of candidate values `one`, `other` of that shape at two sites of each set."""
        ...

    def assign(self, position: Position, sites: Array, values: Array) -> Position:
        """The position with sites set to values, (chains, n) each; padding is ignored."""
        ...


class ChainBlock(Protocol):
    name: str
    count: int  #: of values of a site, which are counted from 0

    @property
    def neighbours(self) -> Array:
        """The sites that each site must differ from, (sites, degree), the number of sites for none."""
        ...

    @property
    def moving(self) -> Array:
        """The sites that may change."""
        ...

    @property
    def frozen(self) -> Array:
        """Which sites may not, (sites,): observed ones, and those with a single value left."""
        ...

    def places(self, position: Position) -> Array:
        """The number of each site's value, (chains, sites)."""
        ...

    def energy(self, position: Position, places: Array) -> Array:
        """Energy (chains,) of what turning chains round may change, where sites have the values of these numbers."""
        ...

    def assign(self, position: Position, places: Array) -> Position:
        """The position with the sites set to the values of these numbers."""
        ...


class SubsetBlock(Protocol):
    """Joint values of a set are numbered; each chain has a set of its own, `chosen` (chains,) in 0 … number."""

    name: str
    sites: int
    size: int  #: sites of the largest set
    number: int  #: of sets

    def current(self, position: Position, chosen: Array) -> Array:
        """The joint values (chains,) that sets have."""
        ...

    def candidates(self, position: Position, chosen: Array) -> tuple[Array, Array]:
        """The joint values (chains, C) that sets may have given all else, the present ones among them, and which count.

        Every state that they lead to has the same candidates, in the same order.
        """
        ...

    def energies(self, position: Position, chosen: Array, joint: Array) -> Array:
        """Energies (chains, C) of joint values of that shape, from the factors that touch each set."""
        ...

    def assign(self, position: Position, chosen: Array, joint: Array) -> Position:
        """The position with sets at joint values (chains,)."""
        ...


@runtime_checkable
class PermutationBlock(Protocol):
    name: str
    sites: int  #: permutations that are free
    length: int  #: elements of each
    classes: int  #: number of colour classes
    width: int  #: permutations in the largest class; smaller ones are padded

    def sites_of(self, cls: Any) -> Array:
        """Site numbers (width,) of a class in 0 … sites, where `sites` itself marks padding."""
        ...

    def current(self, position: Position, cls: Any) -> Array:
        """The orderings (chains, width, length) of a class."""
        ...

    def weigh(self, position: Position, cls: Any) -> Weigh:
        """What tells the energies of other orderings of a class."""
        ...

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        """The position with the class's orderings set to values (chains, width, length); padding is ignored."""
        ...


class Weigh(Protocol):
    """Weighs two candidates for each ordering of a class."""

    def __call__(self, candidates: Array, places: Array | None = None) -> Array:
        """Energies (chains, width, 2) of candidates (chains, width, 2, length), up to what both have in common.

        places (chains, width, 2): the only two where the candidates differ, if they differ in no more.
        """
        ...


@runtime_checkable
class JointBlock(Protocol):
    sites: int  #: free sites of all variables of the block

    def draw(self, position: Position, uniform: Array) -> Position:
        """The position with the block's variables drawn jointly given all else. uniform (chains, sites): in (0, 1)."""
        ...


@runtime_checkable
class ProposalBlock(Protocol):
    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        """What one proposal needs of each chain."""
        ...

    def propose(self, position: Position, noise: Mapping[str, Array]) -> tuple[Position, Array]:
        """A position with new values of the block's variables, and whether they lie in their types: (chains,)."""
        ...

    def energy(self, position: Position) -> Array:
        """Energy (chains,) of the factors that the block's variables change, in the values of these."""
        ...

    def log_density(self, at: Position, given: Position) -> Array:
        """The log of the density (chains or 1,) of proposing the values at one position from another."""
        ...


class BoundKernel(Protocol):
    """A kernel bound to a block, a backend and its options."""

    @property
    def noise(self) -> Mapping[str, NoiseSpec]: ...

    def init(self, position: Position, keys: Array) -> Tree:
        """State at the start. keys: (chains, 2) 32-bit words, a key of its own for each chain."""
        ...

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """One transition. t counts steps from 0, warm-up among them; adaptation ends at the bound `warmup`.

        Returns position, state and statistics by name, each (chains,).
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Kernel(Method):
    """A kernel, as its file exports it: all that the planner, the checks of options and the documentation say of it.

    view: of a finite variable, a `DiscreteBlock`, `JointBlock`, `ForestBlock`, `BondBlock`, `ChangeBlock`, `PairBlock`,
    `ChainBlock` or `SubsetBlock`; of continuous ones, a `ContinuousBlock`, or (objects) an `ObjectBlock` of one that
    has any, or (lines) a `LineBlock` of reals. candidates: how many values of a site it weighs at once in a
    `DiscreteBlock`; None: all. at_shares: the kernel that runs in its place at shares of the energy, where it runs at
    the full energy only. finds: the structure that the kernel goes by, of a discrete variable and under some options,
    or why it has none.
    """

    bind: Callable[..., BoundKernel]  #: (block, backend, options: dict, warmup: int) -> BoundKernel
    view: Literal[
        "sites", "joint", "forests", "bonds", "changes", "sums", "chains", "subsets", "objects", "lines"
    ] = "sites"
    candidates: int | None = None
    at_shares: str = ""
    finds: Callable[[FactorGraph, Variable, Mapping[str, Any]], Match | str] | None = None


__all__ = [
    "Backend", "BondBlock", "BoundKernel", "ChangeBlock", "ContinuousBlock", "DiscreteBlock", "ForestBlock", "Kernel",
    "NoiseSpec", "Option", "Position",
]  # fmt: skip
