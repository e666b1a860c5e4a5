"""Parts that nobody named, in numbers: hybrids of scenes (`examples/discovered_parts`).

    python -m benchmarks.composition.discovered_parts

writes `discovered_parts.json` beside this file: for each seed of training, the share of the hybrids that show the level
band of one scene and the upright band of the other, each within `NEAR` pixels of its place, and nothing else. Nobody
says which part has which band: of the two readings, the same for all of a seed's hybrids, the one that is right more
often is taken. `by chance` is the same of hybrids that are held to the scenes of other pairs. Beside the parts stands
one model of both codes, fitted in the same way (`discovered_whole.cg`), with codes of two scenes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import compose_lang as cg
from examples.discovered_parts.make_data import PAIRS, read

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "examples/discovered_parts"
SEEDS = range(20, 30)  #: the nets and the pictures were chosen with others
DRAWS = 8
NEAR = 0.5  #: of a band's place
CLEAN = 0.15  #: the root of the mean squared difference from two bands


def scenes() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "scenes.npz") as file:
        return dict(file)


def parts(draws: int, **constants: Any) -> tuple[np.ndarray, float]:
    """Hybrids (draws, pairs, 2, 8, 8) of the example's program, and the held-out loss of what it has fitted."""
    return drawn(cg.compile(str(FOLDER / "discovered_parts.cg"), constants=constants), draws)


def whole(draws: int, **constants: Any) -> tuple[np.ndarray, float]:
    """The same of one model of both codes."""
    data = {"scenes" if n == "scene" else n: x for n, x in scenes().items() if not n.endswith("_at")}
    return drawn(cg.compile(str(HERE / "discovered_whole.cg"), data=data, constants=constants), draws)


def drawn(model: cg.Model, draws: int) -> tuple[np.ndarray, float]:
    held_out = model.learn()[0].held_out
    assert held_out is not None
    return np.asarray(model.sample(seed=0, chains=1, draws=draws).posterior["x"])[0], held_out


def away(x: np.ndarray, one_at: np.ndarray, other_at: np.ndarray) -> np.ndarray:
    """How far (2, n, pairs, 2), in pixels, hybrids (n, pairs, 2, 8, 8) are from what they should show.

    It is the distance of the band that is further from its place, and infinite of what is no picture of two bands.
    one_at, other_at: places (pairs, 2) of the bands of the pairs' scenes. By the first reading the first part has the
    level band: hybrid 0 has that of `one` and the upright band of `other`, hybrid 1 the other way round. By the second
    reading the first part has the upright band.
    """
    places, off = (a.reshape(*x.shape[:3], -1) for a in read(x.reshape(-1, 8, 8)))
    low = np.stack([one_at[:, 0], other_at[:, 1]], axis=1)
    high = np.stack([other_at[:, 0], one_at[:, 1]], axis=1)
    readings = np.stack([np.stack([low, high], axis=1), np.stack([high, low], axis=1)])
    return np.where(off[..., 0] < CLEAN, np.abs(places - readings[:, None]).max(-1), np.inf)


def measured(x: np.ndarray) -> dict[str, Any]:
    """The shares of hybrids (n, pairs, 2, 8, 8) that are right, and the reading by which they are."""
    known = scenes()
    one, other = known["one_at"], known["other_at"]
    far = away(x, one, other)
    reading = int((far < NEAR).mean((1, 2, 3)).argmax())
    # the level band of `one` and the upright band of `other` are in the quarter that no scene shows
    held_out, seen = far[reading, :, :, reading], far[reading, :, :, 1 - reading]
    others = [away(x, np.roll(one, k, axis=0), np.roll(other, k, axis=0)) < NEAR for k in range(1, PAIRS)]
    return {
        "level band": ["first", "second"][reading],
        "held-out quarter": round(float((held_out < NEAR).mean()), 4),
        "seen": round(float((seen < NEAR).mean()), 4),
        "by chance": round(float(np.mean(others, axis=0).mean((1, 2, 3)).max()), 4),
        "median distance": round(float(np.median(far[reading])), 3),
    }


def main() -> None:
    found: dict[str, Any] = {}
    for way, drawn_by in {"parts": parts, "one model": whole}.items():
        for seed in SEEDS:
            x, held_out = drawn_by(DRAWS, seed=seed)
            found.setdefault(way, {})[f"seed {seed}"] = {
                **measured(x),
                "hybrids": x[..., 0, 0].size,
                "loss": round(held_out, 5),
            }
            print(way, seed, found[way][f"seed {seed}"], flush=True)
    (HERE / "discovered_parts.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
