"""Pictures of draws in text: a histogram, bars of a finite one's values, intervals of a vector, a map of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCKS = " ▁▂▃▄▅▆▇█"
SHADES = " ░▒▓█"
ROWS = 8  #: of a histogram
COLUMNS = 60
MOST_ROWS = 60


def picture(name: str, draws: NDArray[np.float64], values: dict[str, int] | None) -> str:
    """The picture that suits draws (chains, draws, *shape): `values` are those of a finite domain, by name."""
    flat = draws.reshape((-1, *draws.shape[2:]))
    if flat.ndim == 1:
        if values is not None:
            return bars({key: float((flat == value).mean()) for key, value in values.items()})
        return histogram(flat)
    if flat.ndim == 3:
        return grid(flat.mean(0))
    rows = flat.reshape((len(flat), -1))
    labels = [f"{name}[{','.join(map(str, place))}]" for place in np.ndindex(*flat.shape[1:])]
    return intervals(labels, rows)


def histogram(x: NDArray[np.float64]) -> str:
    """Counts between the 0.1 % and the 99.9 % quantile, and where these are."""
    x = x[np.isfinite(x)]
    if not x.size:
        return "no finite draw"
    low, high = np.quantile(x, [0.001, 0.999])
    if low == high:
        return f"every draw is {low:g}"
    counts, _ = np.histogram(x, COLUMNS, (low, high))
    heights = np.round(counts / counts.max() * ROWS * 8).astype(int)
    lines = []
    for row in reversed(range(ROWS)):
        part = np.clip(heights - 8 * row, 0, 8)
        lines.append("".join(BLOCKS[k] for k in part).rstrip())
    left, right = f"{low:.3g}", f"{high:.3g}"
    return "\n".join([*lines, "▔" * COLUMNS, left + right.rjust(COLUMNS - len(left))])


def bars(shares: dict[str, float]) -> str:
    width = max(map(len, shares))
    return "\n".join(
        f"{name:>{width}} {'█' * round(share * 50)} {share:.3f}" for name, share in shares.items()
    )


def intervals(labels: Sequence[str], x: NDArray[np.float64]) -> str:
    """The central half and 90 % of each column, and its median, on one axis."""
    q = np.quantile(x, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    low, high = float(q[0].min()), float(q[4].max())
    span = (high - low) or 1.0
    places = np.round((q - low) / span * (COLUMNS - 1)).astype(int)
    width = max(map(len, labels[:MOST_ROWS]))
    lines = []
    for k, label in enumerate(labels[:MOST_ROWS]):
        line = [" "] * COLUMNS
        line[places[0, k] : places[4, k] + 1] = "─" * (places[4, k] - places[0, k] + 1)
        line[places[1, k] : places[3, k] + 1] = "━" * (places[3, k] - places[1, k] + 1)
        line[places[2, k]] = "●"
        lines.append(f"{label:>{width}} {''.join(line).rstrip()}")
    left, right = f"{low:.3g}", f"{high:.3g}"
    more = [f"{len(labels) - MOST_ROWS} more"] if len(labels) > MOST_ROWS else []
    return "\n".join([*lines, *more, " " * (width + 1) + left + right.rjust(COLUMNS - len(left))])


def grid(means: NDArray[np.float64]) -> str:
    """The mean of each cell as a shade."""
    low, high = float(means.min()), float(means.max())
    scaled = (means - low) / ((high - low) or 1.0)
    shown = scaled[:MOST_ROWS, :COLUMNS]
    lines = ["".join(SHADES[round(v * (len(SHADES) - 1))] * 2 for v in row) for row in shown]
    cut = f", the first {shown.shape[0]} × {shown.shape[1]} of {means.shape[0]} × {means.shape[1]}"
    return "\n".join(
        [*lines, f"means from {low:.3g} to {high:.3g}{cut if shown.shape != means.shape else ''}"]
    )


def trace(draws: NDArray[np.float64]) -> str:
    """Each chain's path, (chains, draws), as a line of blocks between the least and the greatest draw."""
    low, high = float(draws.min()), float(draws.max())
    span = (high - low) or 1.0
    lines = []
    for k, chain in enumerate(draws):
        parts = np.array_split(chain, min(COLUMNS, len(chain)))
        heights = [round((float(p.mean()) - low) / span * 8) for p in parts]
        lines.append(f"{k} " + "".join(BLOCKS[h] if h else "▁" for h in heights))
    return "\n".join([*lines, f"from {low:.3g} to {high:.3g}"])
