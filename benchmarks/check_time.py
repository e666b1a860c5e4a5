"""Time the check of programs of a thousand lines, of three kinds: `python -m benchmarks.check_time`.

In this process, without what starting one costs, the least of five; half a second was aimed at.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from compose_lang.api.check import check
from tests.test_limits import thousands


def seconds(path: Path) -> float:
    began = time.process_time()
    check(path)
    return time.process_time() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.cg"
        for kind, text in thousands(1000).items():
            path.write_text(text)
            print(f"{kind:10} {min(seconds(path) for _ in range(5)):6.2f} s")


if __name__ == "__main__":
    main()
