"""What the processes of all sessions share: Python's bytecode, and the programs that XLA compiled.

Two thirds of the tests' time went into compiling: each worker compiled what another, or the run before, had compiled,
and where PYTHONDONTWRITEBYTECODE is set, each process compiled every library that it imports. What is kept is keyed by
all that it was made of, and thrown away when it has grown large.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compose_lang" / "tests"
MOST = 2**30  #: bytes


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def pytest_configure(config: pytest.Config) -> None:
    # of two processes one may read what the other is still writing, and compiles it itself
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")
    if hasattr(config, "workerinput"):
        return  # its environment is that of the process that started it
    if size(CACHE) > MOST:
        shutil.rmtree(CACHE, ignore_errors=True)
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        sys.dont_write_bytecode = False
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(CACHE / "bytecode")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # a clock must not choose
