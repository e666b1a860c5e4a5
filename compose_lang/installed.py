"""What is installed: versions without importing anything, and what `compose doctor` reports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

NEEDED = (
    "compose_lang",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "lark",
    "xarray",
    "h5netcdf",
    "safetensors",
)
OPTIONAL = ("torch", "ortools", "arviz", "matplotlib", "pyarrow", "zarr", "diffusers", "transformers")


def installed(packages: Iterable[str]) -> dict[str, str | None]:
    """The version of each package, None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def examination() -> dict[str, str | None]:
    """Python, machine, packages, and the compiler that PyTorch uses."""
    import platform

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {cores} cores",
        **installed((*NEEDED, *OPTIONAL)),
        "C++ compiler": os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++"),
    }


def c_compiler() -> str | None:
    """The system's C compiler, or that of the variable CC."""
    if os.environ.get("COMPOSE_NATIVE") == "0":
        return None
    return shutil.which(os.environ.get("CC") or "cc")
