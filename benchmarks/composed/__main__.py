"""`python -m benchmarks.composed [NAME…] [--backend jax|torch] [--seeds 3] [--json FILE]`: which runs are right?

Each program is run by default settings with each seed, one at a time, and its means and sds are held against the exact
answers: right within four Monte-Carlo errors (four and a half of an sd), slow beyond 30 s from command to end,
compiling among them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.composed.runner import PROGRAMS, Result, run

ANSWERS = Path(__file__).with_name("answers.json")
COLOURS = {"right": "green", "right, warned": "yellow", "short, warned": "yellow", "wrong, warned": "magenta"}


def table(results: Sequence[Result]) -> Table:
    """A row for each run."""
    shown = Table(box=None, pad_edge=False)
    for title in ("program", "backend", "seed", "verdict"):
        shown.add_column(title, no_wrap=True)
    for title in ("errors", "sds", "ESS", "R-hat", "wall s", "cpu s", "compile", "sample"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("kernels, warnings, worst")
    for result in results:
        judged = result.judged
        sampling = result.ran.seconds.get("sample", 0.0) + result.ran.seconds.get("warmup", 0.0)
        said = result.ran.said.splitlines()[0] if result.ran.said else str(judged.worst or "")
        shown.add_row(
            result.program,
            result.backend,
            str(result.seed),
            f"[{COLOURS.get(judged.verdict, 'red')}]{judged.verdict}[/]",
            f"{judged.worst.errors:.1f}" if judged.worst else "",
            f"{judged.farthest:.3f}",
            f"{judged.least_ess:.0f}",
            f"{judged.most_rhat:.3f}",
            f"[{'red' if result.slow else 'default'}]{result.ran.wall:.1f}[/]",
            f"{result.ran.cpu:.1f}",
            f"{result.ran.seconds.get('compile', 0.0):.1f}",
            f"{sampling:.1f}",
            " ".join([*result.ran.kernels, *judged.warnings, said]),
        )
    return shown


def totals(results: Sequence[Result]) -> str:
    """How many runs have each verdict, and how many are slow."""
    counts = Counter(result.judged.verdict for result in results)
    slow = sum(result.slow for result in results)
    told = [f"{count} {verdict}" for verdict, count in counts.most_common()]
    return f"{len(results)} runs: {'; '.join(told)}; {slow} slow"


def chosen_programs(wanted: Sequence[str]) -> list[str]:
    """The names wanted, or all; ends where one is not known."""
    known = sorted(path.stem for path in PROGRAMS.glob("*.cg"))
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise SystemExit(f"no such program: {', '.join(unknown)}; there are {', '.join(known)}")
    return list(wanted) or known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.composed")
    parser.add_argument("names", nargs="*", help="programs, without .cg (all)")
    parser.add_argument("--backend", nargs="*", default=["jax"], help="jax, torch (jax)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (3)")
    parser.add_argument("--json", type=Path, help="where to write the results, after each run")
    parser.add_argument("--option", nargs="*", default=[], help="further flags, as --option=--method=smc")
    given = parser.parse_args()
    answers = json.loads(ANSWERS.read_text())
    console = Console(width=max(Console().width, 180))
    results: list[Result] = []
    for name in chosen_programs(given.names):
        for backend in given.backend:
            for seed in range(given.seeds):
                found = run(name, answers[name], backend=backend, seed=seed, options=tuple(given.option))
                results.append(found)
                console.print(
                    f"{name:22} {backend:5} {seed} {found.judged.verdict:16} {found.ran.wall:5.1f} s  "
                    f"{found.judged.worst or found.ran.said[:100]}",
                    markup=False,
                    highlight=False,
                )
                if given.json:
                    document = {
                        "cores": os.cpu_count(),
                        "totals": totals(results),
                        "runs": [r.as_json() for r in results],
                    }
                    given.json.write_text(json.dumps(document, indent=1) + "\n")
    console.print(table(results))
    console.print(totals(results))


if __name__ == "__main__":
    main()
