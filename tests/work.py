"""How much work a call does, the same on every machine: the functions it calls, of Python and of C.

What a clock would say depends on the machine and on who else uses it; benchmarks/ has what is timed.
"""

from __future__ import annotations

import cProfile
import gc
from collections.abc import Callable
from typing import Any


def calls(function: Callable[[], Any]) -> int:
    """The number of functions that a call of `function` calls in this thread."""
    profile = cProfile.Profile()
    collecting = gc.isenabled()
    gc.disable()  # what a collection calls would count
    profile.enable()
    try:
        function()
    finally:
        profile.disable()
        if collecting:
            gc.enable()
    return sum(entry.callcount for entry in profile.getstats())
