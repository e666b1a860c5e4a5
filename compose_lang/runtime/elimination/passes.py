"""Variable elimination carried out: the way up (log Z, the least energy), and down (marginals, draws, the best point).

In: an `Elimination`, its index arrays on a backend, the tables' energies. One source for NumPy, JAX and PyTorch. All in
energies, so that what is forbidden is infinite and nothing underflows. `chains` below is 1 where the tables are known
at compile time; draws then may be any number.

The way up is the message of each bucket to its parent, -log Σ_v exp(-E) (Dechter, Bucket elimination, 1999); on the way
down a bucket's site is given by its separator: p(v | separator) = exp(m(separator) - E).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from compose_lang.compiler.analyses.elimination import Batch, Elimination, Run, Shape
from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.elimination.stacks import (
    Listed,
    at_round,
    distribution,
    everywhere,
    in_order,
    least,
    mapped,
    marginal,
    place_in,
    repeated,
    resized,
    reverse,
    rows_of,
    spread,
    summed,
    taken,
)

COMMON = 4
"""A bucket's distribution is made for all values of its separator where there are so many times as many draws."""

Messages = dict[Shape, Array]
"""By shape, (chains, room, *shape): row 0 holds zeros."""


class Upward(NamedTuple):
    """What the way up leaves: -log Z (chains,), the tables' parts by run and batch, and what each round read by run."""

    energy: Array
    own: list[list[list[Array]]]
    read: list[Tree] | None


@dataclass(frozen=True, eq=False)
class Passes:
    """The passes of an elimination. index: `Elimination.index`, on the backend."""

    elimination: Elimination
    index: dict[str, Any]
    backend: Backend

    @property
    def arrays(self) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = self.index["runs"]
        return found

    @property
    def cells(self) -> list[Array]:
        found: list[Array] = self.index["cells"]
        return found

    # --- the way up ---

    def gather(self, tables: Sequence[Array]) -> list[list[list[Array]]]:
        """What the tables give to each batch: (rounds, chains, width, *axes of the part), summed over instances.

        tables: as `Table.arranged` has them, (chains, instances or 1, *choices).
        """
        xp = self.backend.xp
        found = []
        for run, arrays in zip(self.elimination.runs, self.arrays, strict=True):
            of_run = []
            for batch, indices in zip(run.batches, arrays, strict=True):
                of_batch = []
                for own, rows in zip(batch.own, indices["own"], strict=True):
                    table = tables[own.table]
                    columns = range(table.ndim - 2)
                    at = tuple(slice(None) if c in own.columns else 0 for c in columns)
                    part = table[(slice(None), slice(None), *at)]
                    left = sorted(own.columns)
                    part = xp.permute_dims(part, (0, 1, *(2 + left.index(c) for c in own.columns)))
                    of_batch.append(xp.moveaxis(rows_of(xp, part, own, rows), 1, 0))
                of_run.append(of_batch)
            found.append(of_run)
        return found

    def upward(self, own: list[list[list[Array]]], keep: bool = True, best: bool = False) -> Upward:
        """Send all messages to the roots. keep: what each round reads, for the way down. best: minima for sums."""
        carry: Messages = {}
        read: list[Tree] = []
        chains = max([1, *(part.shape[1] for run in own for batch in run for part in batch)])
        for run, arrays, parts in zip(self.elimination.runs, self.arrays, own, strict=True):
            carry = self.fitted(carry, run, chains)

            def body(carry: Messages, x: Tree, run: Run = run) -> tuple[Messages, Tree]:
                parts, rows = x
                sent: dict[Shape, list[Array]] = {}
                for batch, part, row in zip(run.batches, parts, rows, strict=True):
                    total = self.total(batch, part, row, carry, chains)
                    out = least(total, self.backend) if best else summed(total, self.backend)
                    sent.setdefault(batch.shape[1:], []).append(out)
                return self.stacked(sent, run, carry), carry if keep else {}

            carry, seen = self.through(body, carry, (parts, [a["children"] for a in arrays]), run.rounds)
            read.append(seen)
        xp = self.backend.xp
        energy = xp.zeros((chains,), dtype=self.backend.real)
        if self.elimination.runs:
            energy = xp.sum(carry[()][:, self.backend.asarray(self.elimination.roots)], axis=1)
        return Upward(energy, own, read if keep else None)

    def total(self, batch: Batch, own: list[Array], rows: list[Array], carry: Messages, chains: int) -> Array:
        """The energies of all joint values of a batch's buckets, (chains, width, *shape)."""
        xp = self.backend.xp
        parts = [spread(part, o.places, batch.shape) for o, part in zip(batch.own, own, strict=True)]
        for child, row in zip(batch.children, rows, strict=True):
            message = xp.sum(taken(xp, carry[child.shape], row), axis=2)
            parts.append(spread(message, child.places, batch.shape))
        found = xp.zeros((1, 1, *(1,) * len(batch.shape)), dtype=self.backend.real)
        for part in sorted(parts, key=lambda p: math.prod(p.shape)):  # small ones first: the sums stay small
            found = found + part
        return xp.broadcast_to(found, (chains, batch.width, *batch.shape))

    def fitted(self, carry: Messages, run: Run, chains: int) -> Messages:
        """Messages in arrays with a run's room: those of the run before, and zeros."""
        xp = self.backend.xp
        found = {}
        for shape, room in run.room.items():
            old = carry.get(shape)
            if old is None:
                found[shape] = xp.zeros((chains, room, *shape), dtype=self.backend.real)
            else:
                found[shape] = resized(xp, old, room)
        return found

    def stacked(self, sent: dict[Shape, list[Array]], run: Run, carry: Messages) -> Messages:
        """What batches send, in arrays with the run's room."""
        xp = self.backend.xp
        found = {}
        for shape, old in carry.items():
            rows = [xp.zeros_like(old[:, :1]), *sent.get(shape, [])]
            missing = run.room[shape] - sum(r.shape[1] for r in rows)
            if missing:
                rows.append(xp.zeros((old.shape[0], missing, *shape), dtype=old.dtype))
            found[shape] = xp.concat(rows, axis=1)
        return found

    def through(
        self, body: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree, rounds: int
    ) -> tuple[Tree, Tree]:
        """Fold over rounds; what each leaves is stacked where programs are compiled whole, and listed elsewhere."""
        if self.backend.compiles_whole:
            if rounds > 1:
                return self.backend.scan(body, carry, xs)
            carry, y = body(carry, at_round(xs, 0))
            return carry, mapped(lambda leaf: leaf[None], y)
        ys = Listed()
        for k in range(rounds):
            carry, y = body(carry, at_round(xs, k))
            ys.append(y)
        return carry, ys

    # --- the way down ---

    def downward(self, up: Upward, visit: Visit, project: Project, start: Array) -> list[Tree]:
        """Go from the roots to the leaves: what `visit` leaves of each batch, by run.

        visit(batch, parts, rows, messages, given) -> (something for the children, what is kept). given (n, width, …):
        what `project` made of the parent's something at the axes of the separator; for roots `start`.
        """
        assert up.read is not None
        xp = self.backend.xp
        carry: Messages = {}
        kept: list[Tree] = []
        for k in reversed(range(len(self.elimination.runs))):
            run, arrays = self.elimination.runs[k], self.arrays[k]
            empty = {shape: project.empty(xp, shape, start) for shape in run.room}
            carry = {
                shape: resized(xp, carry[shape], room) if shape in carry else repeated(xp, empty[shape], room)
                for shape, room in run.room.items()
            }
            if k == len(self.elimination.runs) - 1:
                carry[()] = repeated(xp, start, run.room[()])

            def body(carry: Messages, x: Tree, run: Run = run) -> tuple[Messages, Tree]:
                parts, arrays, messages = x
                after = {shape: xp.zeros_like(old) for shape, old in carry.items()}
                left = []
                for batch, part, rows in zip(run.batches, parts, arrays, strict=True):
                    first = batch.first
                    given = carry[batch.shape[1:]][:, first : first + batch.width]
                    for_children, mine = visit(batch, part, rows, messages, given)
                    left.append(mine)
                    for child, back in zip(batch.children, rows["back"], strict=True):
                        piece = project(for_children, child.places)
                        piece = xp.concat([xp.zeros_like(piece[:, :1]), piece], axis=1)
                        after[child.shape] = after[child.shape] + xp.take(piece, back, axis=1)
                return after, left

            xs = reverse(xp, (up.own[k], arrays, up.read[k]))
            carry, found = self.through(body, carry, xs, run.rounds)
            kept.append(reverse(xp, found))
        return kept[::-1]

    def beliefs(self, up: Upward) -> Beliefs:
        """The probabilities of all that a table's part and a site can be, from the tables' energies."""
        backend, xp = self.backend, self.backend.xp
        chains = up.energy.shape[0]

        def visit(
            batch: Batch, parts: list[Array], rows: dict[str, Any], messages: Messages, given: Array
        ) -> tuple[Array, Tree]:
            total = self.total(batch, parts, rows["children"], messages, chains)
            message = summed(total, backend)[:, :, None]
            share = xp.where(xp.isfinite(message), xp.exp(message - total), 0.0)
            belief = share * given[:, :, None]
            site = marginal(xp, belief, (0,))
            return belief, ([marginal(xp, belief, o.places) for o in batch.own], site)

        start = xp.ones((chains, 1), dtype=backend.real)
        kept = self.downward(up, visit, Marginals(xp), start)
        own, sites = [], []
        for run, ys in zip(self.elimination.runs, kept, strict=True):
            batches = range(len(run.batches))
            own.append(
                [[everywhere(xp, ys, (b, 0, o)) for o in range(len(run.batches[b].own))] for b in batches]
            )
            sites.append([everywhere(xp, ys, (b, 1)) for b in batches])
        return Beliefs(own, sites)

    def of_tables(self, beliefs: Beliefs, tables: Sequence[Array]) -> list[Array]:
        """The probability of each entry of the tables, as they are laid out: (chains, instances or 1, *choices).

        Where instances share one table these are expected counts; choices of a site not read count as the first.
        """
        xp = self.backend.xp
        parts: list[list[Array]] = [[] for _ in tables]
        for run, of_run in zip(self.elimination.runs, beliefs.own, strict=True):
            for batch, of_batch in zip(run.batches, of_run, strict=True):
                for own, part in zip(batch.own, of_batch, strict=True):
                    sizes = tables[own.table].shape[2:]
                    part = xp.moveaxis(part, 0, 1).reshape((part.shape[1], -1, *part.shape[3:]))
                    back = sorted(range(len(own.columns)), key=own.columns.__getitem__)
                    part = xp.permute_dims(part, (0, 1, *(2 + a for a in back)))
                    for column, size in enumerate(sizes):
                        if column not in own.columns:
                            part = xp.expand_dims(part, axis=2 + column)
                            rest = [size - 1 if a == 2 + column else n for a, n in enumerate(part.shape)]
                            part = xp.concat([part, xp.zeros(tuple(rest), dtype=part.dtype)], axis=2 + column)
                    parts[own.table].append(part)
        found = []
        for t, (table, of_table, cells) in enumerate(zip(tables, parts, self.cells, strict=True)):
            if not of_table:
                found.append(xp.zeros_like(table))
                continue
            every = of_table[0] if len(of_table) == 1 else xp.concat(of_table, axis=1)
            if in_order(self.elimination.cells[t], every.shape[1]):
                found.append(xp.sum(every, axis=1, keepdims=True) if table.shape[1] == 1 else every)
                continue
            every = xp.concat([every, xp.zeros_like(every[:, :1])], axis=1)
            each = xp.take(every, xp.where(cells >= 0, cells, every.shape[1] - 1), axis=1)
            found.append(xp.sum(each, axis=1, keepdims=True) if table.shape[1] == 1 else each)
        return found

    def of_sites(self, beliefs: Beliefs) -> Array:
        """The probability of each value of each site, (chains, sites, most values), 0 where a site has fewer."""
        xp = self.backend.xp
        most = max(b.shape[-1] for run in beliefs.sites for b in run)
        rows = []
        for b in (b for run in beliefs.sites for b in run):
            b = xp.moveaxis(b, 0, 1).reshape((b.shape[1], -1, b.shape[-1]))
            rows.append(xp.concat([b, xp.zeros((*b.shape[:2], most - b.shape[-1]), dtype=b.dtype)], axis=2))
        return xp.take(xp.concat(rows, axis=1), self.backend.asarray(self.elimination.place), axis=1)

    def draw(self, up: Upward, uniform: Array | None, count: int = 1) -> Array:
        """Joint draws (n, sites) as places among the sites' values; the best point where `up` has least energies.

        uniform (n, sites): one number in (0, 1) a site; None for the best point, of which `count` are made alike.
        """
        backend, xp = self.backend, self.backend.xp
        n = count if uniform is None else uniform.shape[0]
        chains = xp.arange(n)[:, None, None]

        def at(array: Array, rows: Array, shape: Shape, places: Sequence[int], given: Array) -> Array:
            """Energies (n, width, k, values) of the first axis, the others where they were drawn.

            array: (chains, rows, *shape); rows: (width, k); given: (n, width, separator).
            """
            flat = xp.zeros(given.shape[:2], dtype=backend.integer)
            for size, place in zip(shape[1:], places[1:], strict=True):
                flat = flat * size + given[..., place - 1]
            rest = math.prod(shape[1:])
            chain = chains if array.shape[0] > 1 else xp.zeros_like(chains[:1])
            row = chain * array.shape[1] + rows[None]  # (n, width, k)
            values = xp.arange(shape[0], dtype=backend.integer)
            index = (row[..., None] * shape[0] + values) * rest + flat[:, :, None, None]
            return xp.take(array.reshape((-1,)), index.reshape((-1,)), axis=0).reshape(index.shape)

        def visit(
            batch: Batch, parts: list[Array], rows: dict[str, Any], messages: Messages, given: Array
        ) -> tuple[Array, Array]:
            rest = math.prod(batch.shape[1:])
            if uniform is not None and rest * COMMON <= n:
                total = self.total(batch, parts, rows["children"], messages, up.energy.shape[0])
                thresholds = distribution(xp.moveaxis(total, 2, -1), backend)
                each = xp.arange(batch.width)[:, None]
                found = at(xp.moveaxis(thresholds, -1, 2), each, batch.shape, range(len(batch.shape)), given)
                chosen = place_in(found[:, :, 0], uniform[:, rows["sites"]], backend)
                return xp.concat([chosen[..., None], given], axis=-1), chosen
            energy = xp.zeros((n, batch.width, batch.shape[0]), dtype=backend.real)
            for own, part in zip(batch.own, parts, strict=True):
                each = xp.arange(batch.width)[:, None]
                shape = tuple(batch.shape[a] for a in own.places)
                energy = energy + at(part, each, shape, own.places, given)[:, :, 0]
            for child, row in zip(batch.children, rows["children"], strict=True):
                energy = energy + xp.sum(
                    at(messages[child.shape], row, child.shape, child.places, given), axis=2
                )
            if uniform is None:
                chosen = xp.astype(xp.argmin(energy, axis=-1), backend.integer)
            else:
                chosen = place_in(distribution(energy, backend), uniform[:, rows["sites"]], backend)
            return xp.concat([chosen[..., None], given], axis=-1), chosen

        start = xp.zeros((n, 1, 0), dtype=backend.integer)
        kept = self.downward(up, visit, Digits(), start)
        parts = []
        for run, ys in zip(self.elimination.runs, kept, strict=True):
            for b in range(len(run.batches)):
                column = xp.moveaxis(everywhere(xp, ys, (b,)), 0, 1)
                parts.append(column.reshape((n, -1)))
        return xp.take(xp.concat(parts, axis=1), backend.asarray(self.elimination.place), axis=1)


Visit = Callable[[Batch, list[Array], dict[str, Any], Messages, Array], tuple[Array, Tree]]


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Probabilities by run and batch: of what a table's part can be (rounds, chains, width, *axes), of each site."""

    own: list[list[list[Array]]]
    sites: list[list[Array]]


@dataclass(frozen=True, eq=False)
class Marginals:
    """Beliefs as the children see them: summed over what is not in their separators."""

    xp: Any

    def __call__(self, belief: Array, places: Sequence[int]) -> Array:
        return marginal(self.xp, belief, places)

    def empty(self, xp: Any, shape: Shape, start: Array) -> Array:
        return xp.zeros((start.shape[0], 1, *shape), dtype=start.dtype)


@dataclass(frozen=True, eq=False)
class Digits:
    """What was drawn, as the children see it."""

    def __call__(self, drawn: Array, places: Sequence[int]) -> Array:
        return drawn[..., list(places)]

    def empty(self, xp: Any, shape: Shape, start: Array) -> Array:
        return xp.zeros((start.shape[0], 1, len(shape)), dtype=start.dtype)


Project = Marginals | Digits
