"""Figure 6 in numbers: pictures with objects in one to five places (`examples/scenes`).

    python -m benchmarks.composition.scenes

writes `scenes.json` beside this file: for each number of places that are asked for, the share of the draws in which
every cell shows an object or nothing and all the asked ones show an object; and of these, how far the shares of layouts
(which other cells show one too) are from the exact ones, in total variation. Beside the composition stand the same
with weights, reverse diffusion on its summed scores, one model of the same size, learned from the same pictures, that
takes all the places as its input, and as many layouts drawn exactly.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import compose_lang as cg
from examples.scenes.make_data import PRESENT, shown

HERE = Path(__file__).parent
SCENES = HERE.parents[1] / "examples/scenes"
SETS = {1: [[0]], 2: [[0, 8]], 3: [[0, 2, 7]], 4: [[0, 2, 3, 7]], 5: [[0, 2, 3, 7, 8], [1, 2, 4, 5, 6]]}
REVERSE = 'annealed(levels=40, moves=0, weights="off")'
WEIGHTED = "annealed(levels=40, moves=4)"


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


def are_valid(pictures: np.ndarray, asked: list[int]) -> np.ndarray:
    """Which pictures are scenes and show an object in each place that is asked for."""
    there, proper = shown(pictures)
    return np.asarray(proper.all(1) & there[:, asked].all(1))


def valid_share(pictures: np.ndarray, asked: list[int]) -> float:
    """The share of pictures that are as asked for."""
    return float(are_valid(pictures, asked).mean())


def layout_shares(asked: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Every layout (2^k, 9) with objects in all places asked for, and its share of the program's density, (2^k,).

    Of a layout with n objects p(place | layout) is 1 / n for each that has one.
    """
    every = np.array(list(itertools.product([False, True], repeat=9)))
    layouts = every[every[:, asked].all(1)]
    n = layouts.sum(1)
    weights = PRESENT**n * (1 - PRESENT) ** (9 - n) / n ** float(len(asked))
    return layouts, weights / weights.sum()


def layouts_off_by(there: np.ndarray, asked: list[int]) -> float:
    """Total variation between the shares of layouts (n, 9), all with the places asked for, and the exact ones."""
    layouts, shares = layout_shares(asked)
    counts = (there[:, None] == layouts).all(2).sum(0)
    return float(0.5 * np.abs(counts / max(len(there), 1) - shares).sum())


def measured(drawn: list[np.ndarray], sets: list[list[int]]) -> dict[str, Any]:
    """The numbers of pictures (n, 16, 16) for each set of places."""
    pairs = list(zip(drawn, sets, strict=True))
    far = [layouts_off_by(shown(p[are_valid(p, asked)])[0], asked) for p, asked in pairs]
    return {
        "valid": round(float(np.mean([valid_share(p, asked) for p, asked in pairs])), 4),
        "objects": round(float(np.mean([shown(p)[0].sum(1).mean() for p in drawn])), 2),
        "different": sum(len(np.unique(p.round(1), axis=0)) for p in drawn),
        "layouts off by": round(float(np.mean(far)), 3),
    }


def exact(sets: list[list[int]], draws: int) -> dict[str, Any]:
    """The same of layouts drawn by their exact shares."""
    rng = np.random.default_rng(0)
    far, objects = [], []
    for asked in sets:
        layouts, shares = layout_shares(asked)
        there = layouts[rng.choice(len(layouts), draws, p=shares)]
        far.append(layouts_off_by(there, asked))
        objects.append(there.sum(1).mean())
    return {"objects": round(float(np.mean(objects)), 2), "layouts off by": round(float(np.mean(far)), 3)}


def main() -> None:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    draws = 128
    for count, sets in SETS.items():
        runs = {
            "composed": [composed(asked, draws) for asked in sets],
            "composed, weighed": [composed(asked, draws, WEIGHTED) for asked in sets],
            "summed scores, reverse diffusion": [composed(asked, draws, REVERSE) for asked in sets],
            "one model": [monolithic(asked, draws) for asked in sets],
        }
        for way, drawn in runs.items():
            found[way][f"{count} asked"] = measured([pictures_of(run) for run in drawn], sets)
            print(way, count, found[way][f"{count} asked"], flush=True)
        found["exact"][f"{count} asked"] = exact(sets, draws)
    (HERE / "scenes.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
