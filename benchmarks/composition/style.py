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


def drawn(asked: int, draws: int, **constants: Any) -> np.ndarray:
    """Pictures (draws, 8, 8)."""
    model = cg.compile(str(PROGRAM), constants={"asked": asked, **constants})
    return np.asarray(model.sample(seed=0, chains=1, draws=draws).posterior["x"]).reshape(-1, 8, 8)


def content(pictures: np.ndarray, asked: int) -> np.ndarray:
    """Whether pictures (n, 8, 8) are read as the digit that was asked for."""
    return judge().predict(pictures.reshape(-1, 64)) == asked


def main() -> None:
    found: dict[str, Any] = {}
    for way, styled in [("product", True), ("large model alone", False)]:
        pictures = [drawn(asked, 64, styled=styled) for asked in range(10)]
        read = np.array([content(p, asked) for asked, p in enumerate(pictures)])
        style = np.array([is_dusk(p) for p in pictures])
        found[way] = {
            "content": round(read.mean(), 4),
            "style": round(style.mean(), 4),
            "both": round((read & style).mean(), 4),
            "least content of a digit": round(read.mean(1).min(), 4),
            "draws": read.size,
            "different": sum(len(np.unique(p.round(1), axis=0)) for p in pictures),
        }
        print(way, found[way], flush=True)
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
