"""Whether a run was right, and whether it said so: a run's summary held against the exact answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal[
    "right",
    "right, warned",  # a false alarm
    "short, warned",  # right by its own errors, which are large: too few effective draws, or R-hat
    "short, unwarned",
    "wrong, warned",
    "WRONG UNWARNED",
    "refused",
    "out of time",
]
#: Monte-Carlo errors that a moment may be off by; an sd's are skewed, and one of exact draws was off by 4.2
MOST_ERRORS = {"mean": 4.0, "sd": 4.5}
MOST_RHAT, LEAST_ESS, MOST_SECONDS = 1.01, 400.0, 30.0
#: codes that say something of a run, not of a program's text
ABOUT_RUNS = ("CG07", "CG08", "CG09")


@dataclass(frozen=True)
class Deviation:
    """How far a moment of a quantity is off: in Monte-Carlo errors, and in units of the quantity's true sd."""

    quantity: str
    moment: Literal["mean", "sd"]
    errors: float
    sds: float

    def __str__(self) -> str:
        return f"{self.moment} of {self.quantity} off by {self.sds:+.3f} sd, {self.errors:.1f} errors"


@dataclass(frozen=True)
class Judged:
    """A run's verdict and what it rests on."""

    verdict: Verdict
    worst: Deviation | None  #: in Monte-Carlo errors
    farthest: float  #: the largest deviation in units of sd
    least_ess: float
    most_rhat: float
    warnings: tuple[str, ...]  #: codes of what the run was warned of, those of its text aside


def deviations(answer: Mapping[str, Mapping[str, float]], rows: Mapping[str, Any]) -> Iterator[Deviation]:
    """The deviation of every mean and sd that an answer is known of; a KeyError where the run lacks a quantity."""
    for quantity, right in answer.items():
        row = rows[quantity]
        off = _number(row["mean"]) - right["mean"]
        error = math.hypot(_number(row["mcse_mean"]), right["mean_error"])
        yield Deviation(quantity, "mean", _ratio(off, error), off / right["sd"])
        if "p" not in row:  # the sd of a truth value follows from its mean
            off = _number(row["sd"]) - right["sd"]
            yield Deviation(quantity, "sd", _ratio(off, _sd_error(row, right)), off / right["sd"])


def _sd_error(row: Mapping[str, Any], right: Mapping[str, float]) -> float:
    """The Monte-Carlo error of an sd: by the true kurtosis, the effective draws, and the error of the mean."""
    effective = min(_number(row["ess_bulk"]), _number(row["ess_tail"]))
    if not effective > 0:
        return math.nan
    first_order = right["sd"] * math.sqrt(max(right["kurtosis"] - 1, 0.0) / (4 * effective))
    # an error of the mean makes the sd too small by half its square: what is left where the kurtosis is near 1
    second_order = 2 * _number(row["mcse_mean"]) ** 2 / right["sd"]
    return math.hypot(first_order, second_order, right["sd_error"])


def _ratio(off: float, error: float) -> float:
    """How many errors; infinite where either is not a number, or an error of nothing is claimed."""
    if not math.isfinite(off) or not math.isfinite(error):
        return math.inf
    return abs(off) / error if error > 0 else (math.inf if off else 0.0)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def judge(answer: Mapping[str, Mapping[str, float]], rows: Mapping[str, Any], codes: Sequence[str]) -> Judged:
    """The verdict on a run's summary, by name, and on the codes of its diagnostics."""
    found = list(deviations(answer, rows))
    worst = max(found, key=lambda deviation: deviation.errors / MOST_ERRORS[deviation.moment])
    watched = [rows[quantity] for quantity in answer]
    ess = min(min(_number(row[m]) for m in ("ess_bulk", "ess_tail")) for row in watched)
    rhats = [row["rhat"] for row in watched if row["rhat"] is not None]
    warnings = tuple(sorted({code for code in codes if code.startswith(ABOUT_RUNS)}))
    wrong = worst.errors > MOST_ERRORS[worst.moment]
    short = not ess >= LEAST_ESS or max(rhats, default=1.0) > MOST_RHAT
    verdict: Verdict
    if wrong:
        verdict = "wrong, warned" if warnings else "WRONG UNWARNED"
    elif short:
        verdict = "short, warned" if warnings else "short, unwarned"
    else:
        verdict = "right, warned" if warnings else "right"
    farthest = max((abs(deviation.sds) for deviation in found), default=0.0)
    return Judged(verdict, worst, farthest, ess, max(rhats, default=math.nan), warnings)
