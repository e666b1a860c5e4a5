"""Figure 10 in numbers: digits on one canvas from overlapping regions (`examples/tapestry`).

    python -m benchmarks.composition.tapestry

writes `tapestry.json` beside this file: of the boxes, the share that a judge reads as asked; the energy of the seams
(the mean squared step of brightness from box to box) beside that of boxes drawn each by itself and of real pages; and
how many of the draws differ. The judge is a support vector machine on digits that nothing was learned from.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC

import compose_lang as cg
from examples.tapestry.make_data import half, paper, written

PROGRAM = Path(__file__).parents[2] / "examples/tapestry/tapestry.cg"
ASKED = ([[3, 1, 4], [2, 7, 6]], [[0, 5, 8], [9, 3, 5]], [[8, 4, 9], [6, 0, 1]])


@cache
def judge() -> SVC:
    """A classifier of boxes (n, 64), learned from the judge's half of the digits on paper of all kinds."""
    ink, names = half(for_judge=True)
    sheets = paper(np.random.default_rng(1), 5 * len(ink), 8, 8)
    return SVC(C=10).fit(written(sheets, np.tile(ink, (5, 1, 1))).reshape(-1, 64), np.tile(names, 5))


def read_share(canvas: np.ndarray, asked: Any) -> float:
    """The share of the boxes of canvases (n, 16, 24) that are read as asked (2, 3)."""
    boxes = canvas.reshape(-1, 2, 8, 3, 8).swapaxes(2, 3).reshape(-1, 64)
    return float((judge().predict(boxes).reshape(-1, 2, 3) == np.array(asked)).mean())


def seam_energy(canvas: np.ndarray) -> float:
    """The mean squared difference of neighbours on the two sides of a seam."""
    across = (canvas[:, :, 7:16:8] - canvas[:, :, 8:17:8]) ** 2
    down = (canvas[:, 7] - canvas[:, 8]) ** 2
    return float(np.concatenate([across.reshape(-1), down.reshape(-1)]).mean())


def pages() -> np.ndarray:
    """Real pages of six digits (n, 16, 24), which no model has seen."""
    rng = np.random.default_rng(2)
    ink, _ = half(for_judge=True)
    chosen = ink[rng.integers(0, len(ink), (500, 2, 3))].swapaxes(2, 3).reshape(500, 16, 24)
    return written(paper(rng, 500, 16, 24), chosen)


def drawn(asked: Any, draws: int, method: str | None = None, **constants: Any) -> np.ndarray:
    """Canvases (draws, 16, 24)."""
    model = cg.compile(str(PROGRAM), constants={"asked": asked, **constants})
    run = model.sample(seed=0, chains=1, draws=draws, method=method)
    return np.asarray(run.posterior["canvas"]).reshape(-1, 16, 24)


def measured(draws: int) -> dict[str, Any]:
    """The numbers of each way to draw, over all that is asked."""
    ways: dict[str, dict[str, Any]] = {
        "composed": {},
        "summed scores, reverse diffusion": {"method": 'annealed(levels=60, moves=0, weights="off")'},
        "boxes alone": {"joined": False},
    }
    found: dict[str, Any] = {}
    for way, options in ways.items():
        canvases = [drawn(asked, draws, **options) for asked in ASKED]
        found[way] = {
            "read as asked": np.mean([read_share(c, a) for c, a in zip(canvases, ASKED, strict=True)]).round(
                4
            ),
            "seam energy": np.mean([seam_energy(c) for c in canvases]).round(5),
            "draws": draws * len(ASKED),
            "different draws": sum(len(np.unique(c.round(2), axis=0)) for c in canvases),
        }
    found["real pages"] = {"seam energy": round(seam_energy(pages()), 5)}
    return found


def main() -> None:
    found = measured(64)
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
