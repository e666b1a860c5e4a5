"""Whether kernels in C can be compiled here: a C compiler is at hand and `COMPOSE_NATIVE` is not 0."""

from __future__ import annotations

import os
import shutil


def c_compiler() -> str | None:
    """The system's C compiler, or that of the variable CC."""
    if os.environ.get("COMPOSE_NATIVE") == "0":
        return None
    return shutil.which(os.environ.get("CC") or "cc")
