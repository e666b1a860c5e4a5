"""Time what a user waits for: `python benchmarks/startup.py`.

Import, `compose check`, and `compose run` of eight schools with a cold and a warm compilation cache; medians
over fresh processes, on the machine as it is.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
SCHOOLS = str(EXAMPLES / "schools" / "schools.cg")


def seconds(command: list[str], repeat: int, environment: dict[str, str] | None = None) -> float:
    """The median wall time of a command in a fresh process."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **(environment or {})})
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    compose = [sys.executable, "-c", "from compose_lang.cli import main; main()"]
    print(f"{'python -c pass':40} {seconds([sys.executable, '-c', 'pass'], 5):6.2f} s")
    print(f"{'import compose_lang':40} {seconds([sys.executable, '-c', 'import compose_lang'], 5):6.2f} s")
    for program in sorted(EXAMPLES.glob("*/*.cg")):
        print(f"{'check ' + program.name:40} {seconds([*compose, 'check', str(program)], 5):6.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        run = [*compose, "run", SCHOOLS, "--quiet", "--out", f"{folder}/out"]
        cache = {"XDG_CACHE_HOME": folder}
        print(f"{'run schools.cg, first':40} {seconds(run, 1, cache):6.2f} s")
        print(f"{'run schools.cg, again':40} {seconds(run, 3, cache):6.2f} s")


if __name__ == "__main__":
    main()
