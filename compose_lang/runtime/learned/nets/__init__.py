"""Nets, a file each: `NET` is found by the file's name, as `net=mlp(64, 64)` in a program names it.

In: arrays and a condition for each row. Out: arrays of the same rows. After: `learners`, which say what nets stand for.
"""

from __future__ import annotations

from compose_lang.discovery import NETS
from compose_lang.runtime.learned.net import Net


def load_net(kind: str) -> Net:
    """The net that a file exports."""
    net: Net = NETS[kind]
    return net


__all__ = ["load_net"]
