"""Figure 6 in numbers: pictures with objects in one to five places (`examples/scenes`).

    python -m benchmarks.composition.scenes

writes `scenes.json` beside this file: for each number of places that are asked for, the share of the draws in which
every cell shows an object or nothing and all the asked ones show an object. Beside the composition stand reverse
diffusion on its summed scores, and one model of the same size, learned from the same pictures, that takes all the
places as its input.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import compose_lang as cg
from examples.scenes.make_data import shown

HERE = Path(__file__).parent
SCENES = HERE.parents[1] / "examples/scenes"
SETS = {1: [[0]], 2: [[0, 8]], 3: [[0, 2, 7]], 4: [[0, 2, 3, 7]], 5: [[0, 2, 3, 7, 8], [1, 2, 4, 5, 6]]}
REVERSE = 'annealed(levels=40, moves=0, weights="off")'


def composed(asked: list[int], draws: int, method: str | None = None, **constants: Any) -> Any:
    """A run of the composition."""
    model = cg.compile(str(SCENES / "scenes.cg"), data={"asked": asked}, constants=constants)
    return model.sample(seed=0, chains=1, draws=draws, method=method)


def monolithic(asked: list[int], draws: int) -> Any:
    """A run of the model of all places at once."""
    with np.load(SCENES / "scenes.npz") as file:
        pictures, place = file["picture"], file["place"]
    data = {
        "pictures": pictures,
        "places": np.eye(9, dtype=bool)[place],
        "asked": np.isin(np.arange(9), asked),
    }
    return cg.compile(str(HERE / "scenes_joint.cg"), data=data).sample(seed=0, chains=1, draws=draws)


def pictures_of(run: Any) -> np.ndarray:
    """The drawn pictures (n, 16, 16)."""
    return np.asarray(run.posterior["scene"]).reshape(-1, 16, 16)


def valid_share(pictures: np.ndarray, asked: list[int]) -> float:
    """The share of pictures that are scenes and show an object in each place that is asked for."""
    there, proper = shown(pictures)
    return float((proper.all(1) & there[:, asked].all(1)).mean())


def main() -> None:
    found: dict[str, Any] = {"composed": {}, "summed scores, reverse diffusion": {}, "one model": {}}
    draws = 128
    for count, sets in SETS.items():
        runs = {
            "composed": [composed(asked, draws) for asked in sets],
            "summed scores, reverse diffusion": [composed(asked, draws, REVERSE) for asked in sets],
            "one model": [monolithic(asked, draws) for asked in sets],
        }
        for way, drawn in runs.items():
            pictures = [pictures_of(run) for run in drawn]
            found[way][f"{count} asked"] = {
                "valid": round(np.mean([valid_share(p, a) for p, a in zip(pictures, sets, strict=True)]), 4),
                "objects": round(np.mean([shown(p)[0].sum(1).mean() for p in pictures]), 2),
                "different": sum(len(np.unique(p.round(1), axis=0)) for p in pictures),
                "different layouts": sum(len(np.unique(shown(p)[0], axis=0)) for p in pictures),
            }
            print(way, count, found[way][f"{count} asked"], flush=True)
    (HERE / "scenes.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
