"""Nets, a file each: `NET` is found by the file's name, as `net=mlp(64, 64)` in a program names it."""

from __future__ import annotations

from compose_lang.discovery import NETS
from compose_lang.runtime.learned.net import Net


def load_net(kind: str) -> Net:
    """The net that a file exports."""
    net: Net = NETS[kind]
    return net


__all__ = ["load_net"]
