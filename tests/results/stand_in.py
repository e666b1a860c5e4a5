"""A small density and kernel that need no compiler: what the driver asks of both, and nothing else.

The density is a normal in two coordinates, an angle that follows a von Mises, and a spin that leans to +1.
The kernel is random-walk Metropolis on the coordinates and an exact draw of the spin.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from compose_lang.compiler.ir.types import REAL, Domain, Type
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Position
from compose_lang.runtime.backends import facts, load_backend
from compose_lang.runtime.chains.driver import Driver, Outcome, lanes_of
from compose_lang.runtime.chains.sweep import Sweeper
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.run import Run
from compose_lang.runtime.runs import storage
from compose_lang.runtime.runs.manifest import Lane, Manifest
from compose_lang.runtime.runs.settings import Settings
from compose_lang.runtime.runs.storage import RunFolder

SPIN_PULL = 0.5


@dataclass(frozen=True)
class StandInBlock:
    name: str
    kernel: str = "stand_in"
    options: Any = ()
    exact: bool = False
    why: str = "there is no other"

    @property
    def variables(self) -> tuple[str, ...]:
        return ("x", "phi", "s")


@dataclass(frozen=True, eq=False)
class StandInDensity:
    backend: Any
    constants: Any
    columns: tuple[Column, ...] = (
        Column("x", Type(REAL, (2,)), observed=None),
        Column("phi", Type(Domain("angle"))),
        Column("s", Type(Domain("spin"))),
        Column("total", Type(REAL), is_let=True),
    )

    def require_sound(self) -> None:
        """No foreign code is in it."""

    def with_constants(self, constants: Any) -> StandInDensity:
        return replace(self, constants=constants)

    @property
    def graph(self) -> Any:
        return SimpleNamespace(groups=(SimpleNamespace(label="all"),))

    def constrain(self, position: Position) -> tuple[Position, None]:
        return position, None

    def group_energies(self, groups: Any, values: Position) -> list[Any]:
        return [self.energy(values)]

    def energy(self, position: Position) -> Any:
        xp, scale = self.backend.xp, self.constants["scale"]
        return (
            xp.sum(0.5 * (position["x"] / scale) ** 2, axis=-1)
            + 2 * xp.cos(position["phi"])
            - SPIN_PULL * position["s"]
        )

    def record(self, position: Position) -> dict[str, Any]:
        wrapped = self.backend.xp.atan2(
            self.backend.xp.sin(position["phi"]), self.backend.xp.cos(position["phi"])
        )
        return {**position, "phi": wrapped, "total": position["x"].sum(-1)}


@dataclass(frozen=True, eq=False)
class StandInViews:
    density: StandInDensity
    blocks: tuple[StandInBlock, ...]

    @property
    def constants(self) -> Any:
        return {"density": self.density.constants}

    def on(self, constants: Any) -> StandInViews:
        return replace(self, density=self.density.with_constants(constants["density"]))

    def kernels(self, warmup: int, level: Any) -> list[Any]:
        return [BoundStandIn(self.density, self.density.backend)]


class StandInSweeper(Sweeper):
    """Chains that start all at one place."""

    def scattered(self, keys: Any) -> Position:
        chains, backend = keys.shape[0], self.backend
        return {
            "x": backend.asarray(np.zeros((chains, 2))),
            "phi": backend.asarray(np.full(chains, 3.0)),
            "s": backend.asarray(np.ones(chains, dtype=int)),
        }


@dataclass(frozen=True)
class BoundStandIn:
    density: StandInDensity
    backend: Any

    @property
    def noise(self) -> dict[str, NoiseSpec]:
        return {
            "jump": NoiseSpec("normal", (3,)),
            "accept": NoiseSpec("uniform", ()),
            "spin": NoiseSpec("uniform", ()),
        }

    def init(self, position: Position, keys: Any) -> Any:
        return {"accepted": position["phi"] * 0, "nothing": None}

    def step(self, position: Position, state: Any, noise: Any, t: Any) -> Any:
        xp = self.backend.xp
        proposed = {
            **position,
            "x": position["x"] + noise["jump"][:, :2],
            "phi": position["phi"] + noise["jump"][:, 2],
        }
        fall = self.density.energy(position) - self.density.energy(proposed)
        accept = xp.log(noise["accept"]) < fall
        moved = {
            "x": xp.where(accept[:, None], proposed["x"], position["x"]),
            "phi": xp.where(accept, proposed["phi"], position["phi"]),
            "s": xp.astype(
                xp.where(noise["spin"] < 1 / (1 + np.exp(-2 * SPIN_PULL)), 1, -1), position["s"].dtype
            ),
        }
        taken = xp.astype(accept, state["accepted"].dtype)
        statistics = {"acceptance_rate": taken, "diverging": accept & (noise["spin"] < 0)}
        return moved, {**state, "accepted": state["accepted"] + taken}, statistics


def drive(
    out: Path,
    *,
    resume: bool = False,
    watch: Any = None,
    scale: float = 1.0,
    keep: tuple[str, ...] = ("x", "phi", "s", "total"),
    time_limit: float = math.inf,
    text: str = "a program",
    **chosen: Any,
) -> tuple[Run, Outcome]:
    """Run the stand-in into a folder, or resume it there."""
    settings = Settings(**{"backend": "numpy", "chains": 3, "warmup": 20, "draws": 40, **chosen})
    backend = load_backend(settings.backend)
    with backend.scope():
        density = StandInDensity(backend, {"scale": backend.asarray(scale)})
    blocks = [StandInBlock("all")]
    lanes = lanes_of(settings.chains, facts(settings.backend).lanes)
    kept = [column for column in density.columns if column.name in keep]
    manifest = Manifest(
        program={"name": "stand_in.cg", "text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()},
        data={"scale": str(scale)},
        settings=settings.as_json(),
        versions={"numpy": np.__version__},
        plan=[{"variables": ["x", "phi", "s"], "kernel": "stand_in", "exact": False, "why": blocks[0].why}],
        columns=[column.as_json() for column in kept],
        lanes=[Lane(chains) for chains in lanes],
    )
    data = {"observed_data.y": np.array([1.0, 2.0]), "constant_data.scale": np.array(scale)}
    folder = (RunFolder.resume if resume else RunFolder.create)(out, manifest, data)
    try:
        sweeper = StandInSweeper(
            StandInViews(density, tuple(blocks)),
            seed=settings.seed,
            warmup=settings.warmup,
            chains=len(lanes[0]),
            keep=keep,
        )
        outcome = Driver(sweeper, folder, settings, watch, time_limit).run()
    finally:
        folder.close()
    return Run.open(out), outcome


def dies_at(step: int) -> None:
    """Kill this process at that step of the storage, whichever thread takes it: what it calls counts as well."""
    steps = itertools.count(1)

    def counted(frame: Any, event: str, argument: Any) -> None:
        if (
            event in ("call", "c_call")
            and frame.f_code.co_filename == storage.__file__
            and next(steps) == step
        ):
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(counted)
    sys.setprofile(counted)


def main() -> None:
    """`stand_in.py OUT SETTINGS [STEP]`, with many small chunks: a process that is killed at a step of the storage."""
    from compose_lang.runtime.chains import driver

    driver.ChunkSize.sweeps_in = lambda pace, seconds: 50
    out = Path(sys.argv[1])
    if len(sys.argv) > 3:
        dies_at(int(sys.argv[3]))
    _, outcome = drive(out, resume=(out / "manifest.json").exists(), **json.loads(sys.argv[2]))
    sys.exit(0 if outcome.status == "finished" else 130)


if __name__ == "__main__":
    main()
