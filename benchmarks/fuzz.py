"""Time the checks of programs that `tests/fuzzing.py` makes: `python -m benchmarks.fuzz KIND START COUNT`.

KIND is tree, scoped, grammar or mutation. Ten thousand of each of tree, grammar and mutation, on 24 November 2026, two
cores with other work on them: nothing but diagnostics; a check took 3.1, 1.4 and 0.9 ms (median), 24, 70 and 64 (p99),
240, 678 and 347 (most). Again on 27 November, the cores shared by seven: nothing but diagnostics; 35.6, 4.5 and 2.1 ms
(median), 205, 75 and 114 (p99), 1,573, 677 and 1,874 (most). The times are of the clock on the wall.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tests.fuzzing import fuzz, summary


def milliseconds(check: Callable[[], None]) -> float:
    began = time.perf_counter()
    check()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    kind, start, count = sys.argv[1:]
    print(summary(kind, fuzz(kind, int(start), int(count), milliseconds, 10_000), "ms"))
