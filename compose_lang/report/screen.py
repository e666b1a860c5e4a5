"""What the command line shows and how it ends: streams, colours, bars, diagnostics, exit codes.

Data goes to standard output, everything else to standard error. With `--json` one document is all that
standard output gets, also when the command fails. Nothing here knows what a verb does.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.report.render import as_json, render

if TYPE_CHECKING:
    from rich.console import Console

    from compose_lang.runtime.chains.driver import LaneRun
    from compose_lang.runtime.learning.loop import Progress
    from compose_lang.runtime.learning.obtain import TrainedWeights
    from compose_lang.runtime.runs.settings import Settings

OUR_BUG = 70
INTERRUPTED = 130
PIPE_WIDTH = 200  #: columns of a table that goes to a file
MOST_BARS = 8


@dataclass
class Screen:
    """The flags that every verb takes, and what they do to its output."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    no_progress: bool = False
    debug: bool = False
    failure: dict[str, Any] = field(default_factory=dict)  #: the JSON document of a verb that fails

    def say(self, text: str) -> None:
        """A remark to the user, on standard error, unless -q."""
        if not self.quiet:
            print(text, file=sys.stderr)

    def detail(self, text: str) -> None:
        """A remark for those who asked for more with -v."""
        if self.verbose:
            print(text, file=sys.stderr)

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Diagnostics, on standard error; -q leaves the errors."""
        shown = [d for d in diagnostics if d.severity == "error" or not self.quiet]
        text = render(shown, "full", in_colour(sys.stderr))
        print(text, end="", file=sys.stderr)

    def document(self, content: Any) -> None:
        """The one JSON document of a verb."""
        print(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False))

    def write(self, path: Path, content: bytes) -> None:
        """A file that a verb makes; CG0707 where it cannot be written."""
        try:
            path.write_bytes(content)
        except OSError as error:
            text = f"{path} cannot be written: {error.strerror}"
            raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None

    @cached_property
    def out(self) -> Console:
        """Where tables go: as wide as the terminal, or wide enough for all in a pipe."""
        from rich.console import Console

        width = None if sys.stdout.isatty() else PIPE_WIDTH
        return Console(
            file=sys.stdout, width=width, no_color=not in_colour(sys.stdout), highlight=False, soft_wrap=False
        )

    @contextmanager
    def bars(
        self, settings: Settings, transient: bool = False
    ) -> Iterator[Callable[[Sequence[LaneRun]], None] | None]:
        """A bar for each chain with rate and time left; none where nobody would see it. transient: they vanish."""
        if self.quiet or self.no_progress or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(file=sys.stderr), transient=transient) as progress:
            tasks: dict[int, list[Any]] = {}

            def watch(lanes: Sequence[LaneRun]) -> None:
                for lane in lanes:
                    if lane.number not in tasks:
                        names = _bar_names(lane.chains, settings.chains)
                        tasks[lane.number] = [
                            progress.add_task(name, total=lane.total, rate="compiling") for name in names
                        ]
                    part = "warm-up" if lane.sweeps < lane.warmup else "sampling"
                    rate = (
                        f"{lane.chunk_size.rate:,.0f} sweeps/s, {part}"
                        if lane.chunk_size.rate
                        else "compiling"
                    )
                    for task in tasks[lane.number]:
                        progress.update(task, completed=lane.sweeps, total=lane.total, rate=rate)

            yield watch

    @contextmanager
    def learning(self) -> Iterator[Callable[[Progress], None] | None]:
        """A bar for each part that is learned: rate, losses, time left; a line where nobody would see a bar."""
        if self.quiet:
            yield None
            return
        if self.no_progress or not sys.stderr.isatty():
            told: set[str] = set()

            def remark(now: Progress) -> None:
                if now.part.name not in told:
                    told.add(now.part.name)
                    self.say(f"learning {now.part.name}: {now.steps - now.step:,} steps")
                self.detail(f"{now.part.name}: step {now.step:,}, {losses(now)}")

            yield remark
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("learning {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[doing]}"),
            TimeRemainingColumn(),
        )
        bars = Bars(*columns, console=Console(file=sys.stderr), transient=True)
        tasks: dict[int, Any] = {}

        def watch(now: Progress) -> None:
            bars.start()  # at the first call: where nothing is learned, nothing is shown
            if id(now.part) not in tasks:
                tasks[id(now.part)] = bars.add_task(
                    now.part.name, total=now.steps, completed=now.step, doing="compiling"
                )
            doing = f"{now.rate:,.0f} steps/s, {losses(now)}" if now.phase == "training" else now.phase
            bars.update(tasks[id(now.part)], completed=now.step, doing=doing)

        try:
            yield watch
        finally:
            bars.stop()

    def tell(self, lessons: Iterable[TrainedWeights], is_all: bool = False) -> None:
        """What was learned, and how well; is_all: also what was known before."""
        for lesson in lessons:
            score = "" if lesson.held_out is None else f", held-out loss {lesson.held_out:.3g}"
            if lesson.how == "learned":
                self.say(f"learned {lesson.name} in {lesson.seconds:.1f} s{score}")
            elif is_all:
                word = "was learned before" if lesson.how == "kept" else "is loaded"
                self.say(f"{lesson.name} {word}{score}: its weights are in {shown(lesson.path)}")
            self.report(lesson.findings)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Run a verb: every way it can end becomes a message and an exit code, never a traceback."""
        try:
            yield
        except ComposeError as wrong:
            self._traceback()
            self.report(wrong.diagnostics)
            self._fail(wrong.diagnostics, wrong.exit_code)
        except KeyboardInterrupt:
            self._traceback()
            interrupted = Diagnostic("CG0706", "interrupted")
            self.report([interrupted])
            self._fail([interrupted], INTERRUPTED)
        except BrokenPipeError:
            # the reader has gone, as `| head` does: nothing is wrong, and nothing may be written any more
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            raise SystemExit(0) from None
        except Exception as bug:
            self.admit(bug)
            self.failure["error"] = f"{type(bug).__name__}: {bug}"
            self._fail([], OUR_BUG)

    def admit(self, bug: Exception) -> None:
        """Say that something of ours has gone wrong, and what to send."""
        self._traceback()
        place = traceback.extract_tb(bug.__traceback__)[-1]
        print(
            f"compose: this is a bug in Compose, not in your program: {type(bug).__name__}: {bug}\n"
            f"  at {os.path.basename(place.filename)}:{place.lineno}, in {place.name}\n"  # noqa: PTH119
            "  please report it with the program, the command, and what --debug adds to this message",
            file=sys.stderr,
        )

    def _traceback(self) -> None:
        if self.debug:
            traceback.print_exc()

    def _fail(self, diagnostics: Iterable[Diagnostic], code: int) -> NoReturn:
        if self.json:
            self.document({**self.failure, "diagnostics": [as_json(d) for d in diagnostics]})
        raise SystemExit(code)


def in_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours (see no-color.org)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def losses(now: Progress) -> str:
    """`loss 0.31, held-out 0.33`, as far as they are known."""
    found = {"loss": now.loss, "held-out": now.held_out}
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items() if math.isfinite(value))


def shown(path: Path | None) -> str:
    """A path as it is short to read: from the working folder where it lies below that."""
    if path is None:
        return "nowhere"
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def _bar_names(chains: Sequence[int], asked_for: int) -> list[str]:
    shown = [chain for chain in chains if chain < asked_for]
    if asked_for <= MOST_BARS:
        return [f"chain {chain}" for chain in shown]
    return [f"chains {shown[0]}–{shown[-1]}"]
