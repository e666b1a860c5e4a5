"""What more objects, dimensions and waypoints cost: `python -m benchmarks.composed.scaling [NAME…] [--backend jax]`.

Each size is run once by default settings. Seconds, evaluations where they are counted, effective draws and warnings go
into `scaling.json`, and a picture of them into `scaling.svg` where matplotlib is there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.composed.runner import compose_run
from benchmarks.composed.verdict import ABOUT_RUNS

PROGRAMS = Path(__file__).parent / "scaling_programs"
RESULTS = Path(__file__).with_name("scaling.json")
SIZES = {"discs": ("n", (4, 16, 64)), "modes": ("d", (2, 10, 30)), "waypoints": ("T", (10, 40, 160))}
PATIENCE = 400.0  #: seconds of all cores


def measured(name: str, size: int, backend: str) -> dict[str, Any]:
    """One run of a program at a size."""
    setting = f"{SIZES[name][0]}={size}"
    ran = compose_run(
        PROGRAMS / f"{name}.cg", "--set", setting, "--backend", backend, "--seed", "0", patience=PATIENCE
    )
    rows = ran.document.get("summary", {}).values()
    rhats = [row["rhat"] for row in rows if row["rhat"] is not None]
    told = [d for d in ran.document.get("diagnostics", ()) if d["severity"] == "warning"]
    codes = {d["code"] for d in told if d["code"].startswith(ABOUT_RUNS)}
    seconds = ran.seconds
    return {
        "wall": round(ran.wall, 1),
        "cpu": round(ran.cpu, 1),
        "compile": seconds.get("compile"),
        "sampling": round(seconds.get("warmup", 0.0) + seconds.get("sample", 0.0), 2) if seconds else None,
        "evaluations": ran.evaluations,
        "ess": min((row["ess_bulk"] or 0.0 for row in rows), default=None),
        "rhat": max(rhats, default=None),
        "kernels": ran.kernels,
        "warnings": sorted(codes),
        "said": ran.said,
    }


def draw(results: dict[str, dict[str, dict[str, Any]]], target: Path) -> None:
    """Seconds and effective draws by size, a line for each program."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for panel, measure, title in zip(
        panels, ("sampling", "ess"), ("seconds of sampling", "least effective draws"), strict=True
    ):
        for name, sizes in results.items():
            points = [(int(size), row[measure]) for size, row in sizes.items() if row[measure]]
            if points:
                panel.plot(*zip(*sorted(points), strict=True), marker="o", label=f"{name} ({SIZES[name][0]})")
        panel.set(xscale="log", yscale="log", xlabel="size", title=title)
        panel.grid(True, which="both", alpha=0.2)
    panels[1].axhline(400, color="grey", linestyle=":")
    panels[0].legend(frameon=False)
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="discs, modes, waypoints (all)")
    parser.add_argument("--backend", default="jax")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    ours = results.setdefault(given.backend, {})
    for name in given.names or SIZES:
        for size in SIZES[name][1]:
            row = measured(name, size, given.backend)
            ours.setdefault(name, {})[str(size)] = row
            print(f"{name:10} {size:4} {row}", flush=True)
            RESULTS.write_text(json.dumps(results, indent=1, allow_nan=False, default=_plain) + "\n")
    if importlib.util.find_spec("matplotlib"):
        draw(ours, RESULTS.with_suffix(".svg"))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else list(value)


if __name__ == "__main__":
    main()
