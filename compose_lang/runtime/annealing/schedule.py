"""The levels of noise a population walks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from compose_lang.compiler.anneal import Anneal, learned_below
from compose_lang.compiler.parts import Part
from compose_lang.runtime.learn.prepare import Learned

COARSEST, FINEST = 20.0, 0.001  #: where no learned part says how far its noise reaches
SCALE = 1.0


class Schedule(NamedTuple):
    """levels: standard deviations (k,), falling."""

    levels: np.ndarray
    scale: float  #: about the spread of the data, in the program's units


def schedule(
    anneal: Anneal, learned: Learned, count: int, options: dict[str, float], reach: float = np.inf
) -> Schedule:
    """Geometric levels from the coarsest that any part of the program has learned to the finest that all have.

    reach: of the data's spread, how far the noise need go at most.
    """
    found: dict[int, Part] = {}
    for f in (*[f.group for f in anneal.flows], *anneal.families):
        found.update({id(n.attrs[0]): n.attrs[0] for n in learned_below(f.energy)})
    scales = [float(learned[key]["scale"][0]) if key in learned else SCALE for key in found]
    coarse = [s * float(p.options["coarsest"]) for s, p in zip(scales, found.values(), strict=True)]
    fine = [s * float(p.options["finest"]) for s, p in zip(scales, found.values(), strict=True)]
    coarse = [min(c, reach * s) for c, s in zip(coarse, scales, strict=True)]
    top = float(options.get("coarsest") or max(coarse, default=COARSEST))
    bottom = float(options.get("finest") or max(fine, default=FINEST))
    levels = np.geomspace(top, bottom, count)
    return Schedule(levels, float(np.mean(scales)) if scales else SCALE)
