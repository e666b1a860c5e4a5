"""Kernels in C, compiled where they run: by the system's C compiler, once, into the user's cache folder.

In: a source of this folder and the macros that fit it to a program. Out: a `CompiledKernel`, which the backends call by
`Backend.native` on arrays in memory: JAX through XLA's foreign-function interface, within compiled programs, the others
directly. What they compute the array operations of `runtime/kernels/pairwise` compute too, to the bit.

`COMPOSE_NATIVE=0` leaves them out; the plan says which runs (`installed.py`).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.installed import c_compiler

HERE = Path(__file__).parent
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-std=gnu11")
WIDE = ("-mprefer-vector-width=512",)  #: where the processor has vectors so wide


@dataclass(frozen=True)
class CompiledKernel:
    """A compiled source: `name` tells it from all others."""

    name: str
    library: ctypes.CDLL

    @property
    def handler(self) -> Any:
        """The kernel as XLA calls it."""
        return self.library.handler

    def __call__(self, changed: int, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The first `changed` arrays as the kernel leaves them."""
        given = [np.ascontiguousarray(a) for a in arrays]
        made = [np.empty_like(a) for a in given[:changed]]
        self.library.run(pointers(given), pointers(made))
        return tuple(made)


def pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    """An array of C pointers to the arrays' first elements."""
    return (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))


def native_kernel(source: str, macros: Mapping[str, Any], generated: str = "") -> CompiledKernel:
    """The kernel of a source; generated is C that it includes as `generated.h`. CG0603 if it does not compile."""
    defines = tuple(f"-D{name}={value}" for name, value in sorted(macros.items()))
    return compiled(source, defines, generated)


@cache
def compiled(source: str, defines: tuple[str, ...], generated: str) -> CompiledKernel:
    texts = [(HERE / name).read_text(encoding="utf-8") for name in (source, "threefry.h", "xla.h")]
    include = xla_include()
    flags = [*FLAGS, *(WIDE if platform.machine() == "x86_64" else ()), *defines]
    if include is not None:
        flags += ["-DXLA", f"-I{include}"]
    identity = "\0".join([*texts, generated, *flags, processor(), str(include)])
    name = f"compose_{Path(source).stem}_{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    folder = cache_folder()
    path = folder / f"{name}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            (Path(scratch) / "generated.h").write_text(generated, encoding="utf-8")
            made = Path(scratch) / "made.so"
            command = [
                c_compiler() or "cc",
                *flags,
                f"-I{scratch}",
                f"-I{HERE}",
                str(HERE / source),
                "-o",
                str(made),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                wrong = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr.strip())
                text = f"the C compiler fails on a kernel: {wrong}"
                help = "COMPOSE_NATIVE=0 runs the same in array operations"
                raise ComposeError(Diagnostic("CG0603", text, help=help))
            made.replace(path)  # whole or not at all, whoever else compiles it
    return CompiledKernel(name, ctypes.CDLL(str(path)))


def xla_include() -> str | None:
    """Where XLA's C header is, found without importing JAX."""
    spec = find_spec("jaxlib")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "include"
    return str(folder) if (folder / "xla" / "ffi" / "api" / "c_api.h").exists() else None


def processor() -> str:
    """What the machine's code is compiled for: a cache may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "\0".join(
        next((x for x in lines if x.startswith(key)), "") for key in ("model name", "flags", "Features")
    )


def cache_folder() -> Path:
    """Where compiled kernels are kept: the user's cache folder; one for this process where that cannot be written."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compose_lang" / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="compose-native-"))
