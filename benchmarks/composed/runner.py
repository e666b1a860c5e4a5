"""One program run as a user runs it: `compose run` by default settings, in a process and a folder of its own."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.composed.verdict import MOST_SECONDS, Judged, judge
from compose_lang.runtime.results.run import Run

PROGRAMS = Path(__file__).parent / "programs"
COMPOSE = "import sys; from compose_lang.cli import main; sys.exit(main())"
#: statistics of kernels that count evaluations of the energy or of its gradient, a draw each
COUNTS = ("evaluations", "n_steps", "num_steps", "leapfrog")


@dataclass(frozen=True)
class Ran:
    """A run as it ended; `document` is empty where it failed."""

    document: dict[str, Any]
    wall: float  #: seconds from the command to its end
    cpu: float  #: seconds of all cores
    said: str = ""  #: what an error said
    evaluations: int | None = None  #: after warm-up, where the kernel counts them
    ended: bool = True  #: by itself

    @property
    def kernels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(block["kernel"] for block in self.document.get("plan", ())))

    @property
    def seconds(self) -> dict[str, float]:
        """By the run's own clock: compile, warmup, sample."""
        return dict(self.document.get("seconds", {}))


def compose_run(program: Path, *options: str, patience: float = 8 * MOST_SECONDS) -> Ran:
    """Run a program with further flags of `compose run`; after `patience` seconds of all cores it is ended."""

    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/run"
        # the shell limits itself: a function of ours between fork and exec could hang beside JAX's threads
        command = [
            *("sh", "-c", f'ulimit -t {math.ceil(patience)} && exec "$@"', "sh"),
            sys.executable,
            "-c",
            COMPOSE,
            "run",
            str(program),
            "--json",
            "--quiet",
            "--out",
            out,
            *options,
        ]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode < 0 and cpu >= 0.9 * patience:
            return Ran({}, wall, cpu, "ended by the judge", ended=False)
        document = json.loads(done.stdout) if done.stdout.strip() else {}
        if not document.get("summary"):
            said = " ".join(f"{d['code']}: {d['message']}" for d in document.get("diagnostics", ()))
            return Ran({}, wall, cpu, said or done.stderr.strip()[-2000:])
        return Ran(document, wall, cpu, evaluations=_evaluations(Run.open(out)))


def _evaluations(run: Run) -> int | None:
    counted = [values.sum() for name, values in run.statistics.items() if name.startswith(COUNTS)]
    return int(sum(counted)) if counted else None


@dataclass(frozen=True)
class Result:
    """A run that has been judged."""

    program: str
    backend: str
    seed: int
    judged: Judged
    ran: Ran

    @property
    def slow(self) -> bool:
        """Whether it took too long by the clock, and not only because the machine did other things."""
        return min(self.ran.wall, self.ran.cpu) > MOST_SECONDS

    def as_json(self) -> dict[str, Any]:
        ran = self.ran
        return {
            "program": self.program, "backend": self.backend, "seed": self.seed, **asdict(self.judged),
            "slow": self.slow, "wall": round(ran.wall, 2), "cpu": round(ran.cpu, 2), "seconds": ran.seconds,
            "kernels": ran.kernels, "log_evidence": ran.document.get("log_evidence"),
            "evaluations": ran.evaluations, "said": ran.said,
        }  # fmt: skip


def run(
    name: str,
    answer: Mapping[str, Mapping[str, float]],
    *,
    backend: str,
    seed: int,
    options: tuple[str, ...] = (),
) -> Result:
    """Run a program by its name and judge it; options: further flags of `compose run`."""
    ran = compose_run(PROGRAMS / f"{name}.cg", "--backend", backend, "--seed", str(seed), *options)
    if not ran.document:
        nothing = float("nan")
        verdict = "refused" if ran.ended else "out of time"
        judged = Judged(verdict, None, nothing, nothing, nothing, ())  # type: ignore[arg-type]
    else:
        codes = [d["code"] for d in ran.document["diagnostics"] if d["severity"] == "warning"]
        judged = judge(answer, ran.document["summary"], codes)
    return Result(name, backend, seed, judged, ran)
