"""How much work a call does, the same on every machine: the functions it runs, of Python and of C.

What a clock would say depends on the machine and on who else uses it; benchmarks/ has what is timed.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any


class TooMuchError(AssertionError):
    """A call does more than it may."""


def calls(function: Callable[[], Any], most: int = sys.maxsize) -> int:
    """The number of functions that a call of `function` runs in this thread; it ends by TooMuchError at more than `most`."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event == "call" or event == "c_call":
            count += 1
            if count > most:
                sys.setprofile(None)
                raise TooMuchError(f"more than {most:,} functions were called")

    collecting, before = gc.isenabled(), sys.getprofile()
    gc.disable()  # what a collection calls would count
    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    return count
