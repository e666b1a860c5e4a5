"""Figure 11 in numbers: a large model of digits times a small model of a style (`examples/style`).

    python -m benchmarks.composition.style

writes `style.json` beside this file: the share of the draws that a judge reads as the digit that was asked for
(content), the share whose paper is as in the style (style), and both, for the product and for the large model alone.
The judge is a support vector machine on digits that nothing was learned from; the style is measured exactly, in the
columns beside the digit.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC

import compose_lang as cg
from examples.style.make_data import any_paper, half, is_dusk, written

PROGRAM = Path(__file__).parents[2] / "examples/style/style.cg"


@cache
def judge() -> SVC:
    """A classifier of pictures (n, 64), learned from the judge's half of the digits on paper of all kinds."""
    ink, names = half(for_judge=True)
    sheets = any_paper(np.random.default_rng(1), 5 * len(ink))
    return SVC(C=10).fit(written(sheets, np.tile(ink, (5, 1, 1))).reshape(-1, 64), np.tile(names, 5))


def drawn(draws: int, **constants: Any) -> np.ndarray:
    """Pictures (draws, 10, 8, 8) of the ten digits."""
    run = cg.compile(str(PROGRAM), constants=constants).sample(seed=0, chains=1, draws=draws)
    return np.asarray(run.posterior["x"])[0]


def content(pictures: np.ndarray) -> np.ndarray:
    """Whether pictures (n, 10, 8, 8) are read as the ten digits, in order: (n, 10)."""
    return judge().predict(pictures.reshape(-1, 64)).reshape(-1, 10) == np.arange(10)


def style(pictures: np.ndarray) -> np.ndarray:
    """Whether pictures (n, 10, 8, 8) are in the style: (n, 10)."""
    return is_dusk(pictures.reshape(-1, 8, 8)).reshape(-1, 10)


def measured(pictures: np.ndarray) -> dict[str, Any]:
    """The numbers of pictures (n, 10, 8, 8)."""
    read, in_style = content(pictures), style(pictures)
    return {
        "content": round(float(read.mean()), 4),
        "style": round(float(in_style.mean()), 4),
        "both": round(float((read & in_style).mean()), 4),
        "least content of a digit": round(float(read.mean(0).min()), 4),
        "pictures": read.size,
        "different": len(np.unique(pictures.reshape(-1, 64).round(1), axis=0)),
    }


def main() -> None:
    ways = {"product": True, "large model alone": False}
    found = {way: measured(drawn(64, styled=styled)) for way, styled in ways.items()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
