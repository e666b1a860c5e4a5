"""Runs chains: lanes over the cores, chunk by chunk, each stored before the next begins.

Chains are split into *lanes*, batches of equal size that advance on their own, so that every lane runs the
same compiled program and a slow chain holds up no other lane. A chunk takes about half a second: often enough
for progress, Ctrl-C and checkpoints, rarely enough to cost nothing.

Before: `sweep` makes the compiled functions, `storage` the folder. After: `samples` reads the folder.
"""

from __future__ import annotations

import heapq
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.backends import facts
from compose_lang.runtime.chains.sweep import Advance
from compose_lang.runtime.runs.manifest import Status
from compose_lang.runtime.runs.settings import Settings
from compose_lang.runtime.runs.storage import RunFolder

CHUNK_SECONDS = 0.5
LOOK_SECONDS = 0.1  #: how often the screen is told

"""Lanes are no function of the machine: the shape of a batch decides the last bits of what it computes."""


@dataclass
class ChunkSize:
    """How many sweeps make a chunk, by what chunks took so far.

    rate: sweeps a second, all counted, in the last one; 0 before it.
    """

    rate: float = 0.0
    each: float = 0.0  #: seconds a sweep, without what a chunk takes by itself
    fixed: float | None = None  #: seconds a chunk takes by itself; None until chunks of two lengths are known
    sweeps: int = 0  #: of the chunk that told the last two
    seconds: float = 0.0

    def learn(self, sweeps: int, seconds: float) -> None:
        """Take in what a chunk took."""
        seconds = max(seconds, 1e-9)
        self.rate = sweeps / seconds
        if self.sweeps and not self.sweeps < 2 * sweeps < 4 * self.sweeps:
            slope = (seconds - self.seconds) / (sweeps - self.sweeps)
            self.each = min(max(slope, 0.0), 1 / self.rate)
            self.fixed = seconds - self.each * sweeps
        # by noise alone the fixed part could be all of it
        self.each = max((seconds - (self.fixed or 0.0)) / sweeps, 1 / self.rate / MOST_GROWTH)
        self.sweeps, self.seconds = sweeps, seconds

    def sweeps_in(self, seconds: float) -> int:
        """Sweeps to make in the next chunk, at least 1: of so many seconds, or of as many as go to all else."""
        if not self.sweeps:
            return 1
        if self.fixed is None and self.each > seconds / 2:
            return 2 * self.sweeps  # a chunk of another length tells what is fixed
        seconds = max(seconds, self.fixed or 0.0)
        return max(1, round(min(seconds / self.each, MOST_GROWTH * self.sweeps)))


@dataclass
class LaneRun:
    """A lane at work: its chains, and the sweeps made of those to make."""

    number: int
    chains: list[int]
    warmup: int  #: sweeps before the first draw
    total: int  #: sweeps in all
    sweeps: int = 0
    chunk_size: ChunkSize = field(default_factory=ChunkSize)
    batch: Any = field(default=None, repr=False)

    def __lt__(self, other: LaneRun) -> bool:
        """The one that is furthest behind goes first, so that a run cut short has draws of every chain."""
        return (self.sweeps, self.number) < (other.sweeps, other.number)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and the seconds its parts took (`compile`, `warmup`, `sample`)."""

    status: Status
    seconds: dict[str, float]


Watch = Callable[[Sequence[LaneRun]], None]


def lanes_of(chains: int, most: int, together: int = 1) -> list[list[int]]:
    """Split chains 0 … into lanes of equal size; the last is filled up with chains that nobody asked for.

    most: what the backend has. together: how many chains a kernel likes in one lane, as far as two lanes remain.

    JAX computes outside Python's lock, so lanes run side by side. PyTorch and NumPy hold it between their
    small operations: two threads were slower than one there, so all chains go into one lane (`Backend.lanes`).
    """
    size = max(math.ceil(chains / most), min(together, math.ceil(chains / 2)))
    count = math.ceil(chains / size)
    return [list(range(i * size, (i + 1) * size)) for i in range(count)]


class Sampler(Protocol):
    """What a driver advances: chains that sweep, or populations that walk levels. Batches are its own."""

    @property
    def capacity(self) -> int:
        """The most draws of a chunk."""
        ...

    def start(self, chains: Sequence[int]) -> Any: ...
    def advance(self, batch: Any, done: int, draws: int, sweeps: int) -> Advance: ...
    def failing(self, batch: Any, chain: int) -> list[str]: ...
    def pack(self, batch: Any) -> dict[str, NDArray[Any]]: ...
    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: Any) -> Any: ...


class Driver:
    """One run, from its start or its checkpoint to its end."""

    def __init__(
        self,
        sampler: Sampler,
        folder: RunFolder,
        settings: Settings,
        watch: Watch | None = None,
        time_limit: float = math.inf,
    ) -> None:
        self.sampler = sampler
        self.folder = folder
        self.settings = settings
        self.watch = watch or (lambda lanes: None)
        self.deadline = monotonic() + time_limit
        self.stopping = threading.Event()
        self.compiled = False
        # where lanes gain nothing by running side by side, they may also disturb each other's global switches
        self.together = min(available_cores(), facts(settings.backend).lanes)
        self.seconds = dict.fromkeys(("compile", "warmup", "sample"), 0.0)
        self.lanes = [
            LaneRun(i, lane.chains, settings.warmup, settings.sweeps)
            for i, lane in enumerate(folder.manifest.lanes)
        ]
        for lane, stored in zip(self.lanes, folder.manifest.lanes, strict=True):
            lane.sweeps = stored.checkpoint.sweeps if stored.checkpoint else 0

    def run(self) -> Outcome:
        """Advance every lane to its end, or until Ctrl-C or the time limit; what is stored stays."""
        with ctrl_c_sets(self.stopping):
            try:
                self._run_lanes()
            except BaseException:
                with suppress(ComposeError):  # a disk that is full already has its diagnostic
                    self._end("failed")
                raise
        unfinished = any(lane.sweeps < self.settings.sweeps for lane in self.lanes)
        if not unfinished:
            return self._end("finished")
        return self._end("interrupted" if self.stopping.is_set() else "time limit")

    def _end(self, status: Status) -> Outcome:
        self.folder.manifest.status = status
        earlier = self.folder.manifest.seconds
        self.folder.manifest.seconds = {
            name: earlier.get(name, 0.0) + seconds for name, seconds in self.seconds.items()
        }
        self.folder.commit()
        return Outcome(status, self.folder.manifest.seconds)

    def _run_lanes(self) -> None:
        """Keep every core busy with the lane that is furthest behind; the first chunk compiles, alone."""
        waiting = [lane for lane in self.lanes if lane.sweeps < self.settings.sweeps]
        heapq.heapify(waiting)
        at_work: dict[Future[None], LaneRun] = {}
        looked = monotonic()
        with ThreadPoolExecutor(available_cores(), thread_name_prefix="lane") as pool:
            while waiting or at_work:
                if self.stopping.is_set() or monotonic() > self.deadline:
                    waiting.clear()
                while waiting and len(at_work) < (self.together if self.compiled else 1):
                    lane = heapq.heappop(waiting)
                    at_work[pool.submit(self._advance, lane)] = lane
                part = self._part()
                done, _ = wait(at_work, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
                looked, before = monotonic(), looked
                self.seconds[part] += looked - before
                for future in done:
                    lane = at_work.pop(future)
                    future.result()
                    if lane.sweeps < self.settings.sweeps:
                        heapq.heappush(waiting, lane)
                self.watch(self.lanes)

    def _part(self) -> str:
        """What the run is busy with, as its seconds are reported."""
        if not self.compiled:
            return "compile"
        return "warmup" if any(lane.sweeps < self.settings.warmup for lane in self.lanes) else "sample"

    def _advance(self, lane: LaneRun) -> None:
        """One chunk of a lane: start or restore it if need be, sweep, store."""
        if lane.batch is None:
            lane.batch = self._start(lane)
        warming = lane.sweeps < self.settings.warmup
        draws, sweeps = self._chunk(lane)
        began = monotonic()
        result = self.sampler.advance(lane.batch, lane.sweeps, draws, sweeps)
        if self.compiled:  # the first chunk's time is the compiler's
            lane.chunk_size.learn(draws * sweeps, monotonic() - began)
        self.compiled = True
        self._require_numbers(lane, result)
        lane.batch = result.batch
        lane.sweeps += draws * sweeps
        state = self.sampler.pack(lane.batch)
        self.folder.append(lane.number, {} if warming else result.draws, state, lane.sweeps)

    def _chunk(self, lane: LaneRun) -> tuple[int, int]:
        """Draws and sweeps a draw of the lane's next chunk; warm-up counts as one draw, which is not kept."""
        wanted = lane.chunk_size.sweeps_in(CHUNK_SECONDS)
        if lane.sweeps < self.settings.warmup:
            return 1, min(wanted, self.settings.warmup - lane.sweeps)
        left = (self.settings.sweeps - lane.sweeps) // self.settings.thin
        return min(max(1, wanted // self.settings.thin), left, self.sampler.capacity), self.settings.thin

    def _start(self, lane: LaneRun) -> Any:
        batch = self.sampler.start(lane.chains)
        stored = self.folder.state(lane.number)
        return batch if stored is None else self.sampler.unpack(stored[0], like=batch)

    def _require_numbers(self, lane: LaneRun, result: Advance) -> None:
        """CG0701 where a chain has come to an energy that is not finite: its draws would be worthless."""
        wanted = np.array(lane.chains) < self.settings.chains
        lost = wanted & ~np.isfinite(result.energy)
        if lost.any():
            chain = int(np.flatnonzero(lost)[0])
            failing = self.sampler.failing(result.batch, chain)
            where = f": {', '.join(failing)}" if failing else ""
            raise ComposeError(
                Diagnostic(
                    "CG0701",
                    f"the energy became {result.energy[chain]} in chain {lane.chains[chain]}{where}",
                    help="smaller steps keep a chain where the program has a weight; what was drawn before stays",
                )
            )


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


MOST_GROWTH = 8
"""Times as many sweeps as the chunk before: what is not known yet may be slow."""


@contextmanager
def ctrl_c_sets(event: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C into a set event; a second one interrupts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
