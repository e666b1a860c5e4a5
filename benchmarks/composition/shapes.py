"""Products, mixtures and contrasts of shapes in the plane: exact, learned and composed, beside summed scores alone.

    python -m benchmarks.composition.shapes

writes `shapes.json` beside this file. Of each composition: the share of draws that are valid (within NEAR of one of
many draws of the true composition), and the total variation between the shares of the cells of a grid and the true ones
(`floor`: that of as many draws of the truth). The truth is drawn by rejection from the shapes' own densities.

The parts are those of `examples/shapes`; `reverse` is the usual way, the reverse process on the composition's score.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import compose_lang as cg
from benchmarks.metrics import cell_shares, total_variation
from examples.shapes.make_data import BLOB, BLOB_SD, RADIUS, SD, SHAPES

FOLDER = Path(__file__).parents[2] / "examples/shapes"
DRAWS = 2000
NEAR = 0.06
EDGES = (-0.75, -0.25, 0.25, 0.75)
REVERSE = 'annealed(moves=0, weights="off")'

Density = Callable[[np.ndarray], np.ndarray]


def ring(x: np.ndarray) -> np.ndarray:
    angle = np.arange(8) * np.pi / 4
    centres = RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    squares = ((x[:, None] - centres) ** 2).sum(2)
    return np.exp(-0.5 * squares / SD**2).mean(1) / (2 * np.pi * SD**2)


def bar(x: np.ndarray) -> np.ndarray:
    return ((np.abs(x[:, 0]) < 0.1) & (np.abs(x[:, 1]) < 1.0)) / 0.4


def level(x: np.ndarray) -> np.ndarray:
    return bar(x[:, ::-1])


def blob(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * ((x - BLOB) ** 2).sum(1) / BLOB_SD**2) / (2 * np.pi * BLOB_SD**2)


DENSITIES: dict[str, Density] = {"Ring": ring, "Bar": bar, "Level": level, "Blob": blob}

PRODUCTS = [("Ring", "Bar"), ("Ring", "Level"), ("Ring", "Blob")]
MIXTURES = [("Ring", "Bar", 0.8), ("Bar", "Level", 0.5), ("Level", "Blob", 0.3)]
CONTRASTS = [("Ring", "Blob", 30.0), ("Bar", "Level", 30.0), ("Level", "Blob", 30.0)]


def compositions() -> dict[str, tuple[str, Density]]:
    """The nine, by name: how the program writes them, and their unnormalised densities."""
    found: dict[str, tuple[str, Density]] = {}
    for a, b in PRODUCTS:
        found[f"{a} * {b}"] = f"{a} * {b}", lambda x, p=DENSITIES[a], q=DENSITIES[b]: p(x) * q(x)
    for a, b, w in MIXTURES:
        text = f"{w} * {a} + {1 - w:.1f} * {b}"
        found[text] = text, lambda x, p=DENSITIES[a], q=DENSITIES[b], w=w: w * p(x) + (1 - w) * q(x)
    for a, b, s in CONTRASTS:
        text = f"contrast({a}, {b}, strength={s:.0f})"
        found[text] = (
            text,
            lambda x, p=DENSITIES[a], q=DENSITIES[b], s=s: p(x) ** 2 / (p(x) + s * q(x) + 1e-300),
        )
    return found


def truth(density: Density, n: int, seed: int) -> np.ndarray:
    """Draws (n, 2) of an unnormalised density, by resampling many draws of the shapes' equal mixture."""
    rng = np.random.default_rng(seed)
    many = np.concatenate([shape(rng, 400_000) for shape in SHAPES.values()])
    proposal = np.mean([p(many) for p in DENSITIES.values()], axis=0)
    weights = density(many) / proposal
    kept = many[rng.random(len(many)) < weights / weights.max()]
    return kept[rng.permutation(len(kept))[:n]]


def valid_share(x: np.ndarray, true: np.ndarray) -> float:
    """The share of draws that lie within NEAR of a true one."""
    from scipy.spatial import cKDTree

    distances, _ = cKDTree(true).query(x)
    return float((distances < NEAR).mean())


def drawn(text: str, method: str | None, seed: int) -> np.ndarray:
    """Draws (DRAWS, 2) of a composition of the learned parts."""
    names = [name for name in DENSITIES if name in text]
    parts = [f'density {name}(x: real[2]) = load("{name}.safetensors")' for name in names]
    with TemporaryDirectory() as folder:
        for name in names:
            shutil.copy(FOLDER / f"{name}.safetensors", folder)
        program = Path(folder) / "composed.cg"
        program.write_text("\n".join([*parts, f"var x: real[2] ~ {text}"]) + "\n", encoding="utf-8")
        run = cg.compile(program).sample(seed=seed, chains=1, draws=DRAWS, method=method)
    return np.asarray(run.posterior["x"]).reshape(-1, 2)


def at_modes(x: np.ndarray) -> float:
    """The share of draws within 0.09 of (0, ±0.5) in each coordinate: the two modes of ring times bar."""
    return float(((np.abs(x[:, 0]) < 0.09) & (np.abs(np.abs(x[:, 1]) - 0.5) < 0.09)).mean())


def measured() -> dict[str, Any]:
    """The numbers of the nine, and of ring times bar by its exact densities."""
    found: dict[str, Any] = {"draws": DRAWS, "learned": {}, "exact": {}}
    for name, (text, density) in compositions().items():
        true = truth(density, 10_000, 1)
        shares = cell_shares(truth(density, 200_000, 2), EDGES)
        entry: dict[str, Any] = {"floor": total_variation(cell_shares(true[:DRAWS], EDGES), shares)}
        for way, method in (("composed", None), ("reverse", REVERSE)):
            x = drawn(text, method, seed=0)
            off = total_variation(cell_shares(x, EDGES), shares)
            entry[way] = {"valid": valid_share(x, true), "shares off by": off}
            if name == "Ring * Bar":
                entry[way] |= {"at the modes": at_modes(x), "upper mode": float((x[:, 1] > 0).mean())}
        found["learned"][name] = rounded(entry)
        print(name, json.dumps(found["learned"][name]), flush=True)
    exact = cg.compile(str(FOLDER / "exact.cg"))
    for way, method in (("composed", None), ("reverse", REVERSE)):
        x = np.asarray(exact.sample(seed=0, chains=1, draws=4 * DRAWS, method=method).posterior["x"]).reshape(
            -1, 2
        )
        found["exact"][way] = rounded(
            {"at the modes": at_modes(x), "upper mode": float((x[:, 1] > 0).mean())}
        )
    return found


def rounded(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: rounded(v) if isinstance(v, dict) else round(v, 4) for k, v in entry.items()}


def main() -> None:
    found = measured()
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found["exact"], indent=2))


if __name__ == "__main__":
    main()
