"""Figure 4 of the paper: factors that are learned apart and composed, against one model of the joint density.

    python -m benchmarks.composition.data_efficiency product     # 15 minutes of a processor
    python -m benchmarks.composition.data_efficiency mixture
    python -m benchmarks.composition.data_efficiency             # the table and the tests of what was measured

The joint model has twice the data of each factor, so that both see as many draws in all; of a mixture it has the very
rows of both parts. Nets, steps and batches are the same for all. Every row of `data_efficiency.csv` is one seed, for
data and training, at one size:

    mmd       squared MMD of the draws from the truth, a Gaussian kernel of the target's BANDWIDTH: what is tested
    nats      mean of -log q over draws of the truth, q by the energies at the finest noise, summed over a grid
    tv        total variation between shares of cells
    w2        of the first PAIRED draws
    accuracy  of a nearest-neighbour classifier that tells draws from the truth

The mixture's set-up and measure were chosen with seeds from 100 on, before any of the seeds that are reported was run.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import wilcoxon

import compose_lang as cg
from benchmarks import metrics
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part
from examples.data_efficiency import truth

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/data_efficiency"
RESULTS = Path(__file__).with_suffix(".csv")

SIZES = [50, 200, 1000]
SEEDS = range(5)
DRAWS = 2000
PAIRED = 500
MANY = 50_000  #: draws of the truth that cells are counted in
FIELDS = ["target", "size", "seed", "model", "mmd", "nats", "tv", "w2", "accuracy"]
MEASURES = FIELDS[4:]
EDGES = np.linspace(-1.5, 1.5, 11)
BANDWIDTH = {"product": 0.2, "mixture": 0.1}  #: about the width of what the modes are apart by
GRID = np.linspace(-2.0, 2.0, 201)
TARGETS = {"product": truth.product, "mixture": truth.mixture}

Points = NDArray[np.float64]


def distances(target: str, x: Points) -> dict[str, float]:
    """How far draws are from the truth."""
    many = TARGETS[target](np.random.default_rng(2**20), MANY)
    return {
        "mmd": metrics.squared_mmd(x, many[:8000], BANDWIDTH[target]),
        "tv": metrics.total_variation(metrics.cell_shares(x, EDGES), metrics.cell_shares(many, EDGES)),
        "w2": metrics.wasserstein2(x[:PAIRED], many[:PAIRED]),
        "accuracy": metrics.classifier_accuracy(x, many[: len(x)]),
    }


def data(target: str, size: int, seed: int) -> tuple[dict[str, Points], Points]:
    """Data of the factors by name, and twice as many rows of the joint density."""
    rng = np.random.default_rng([seed, size])
    if target == "product":
        factors = {name: truth.bumps(rng, size, axis) for axis, name in enumerate(("first", "second"))}
    else:
        factors = {name: truth.ring(rng, size, which) for which, name in enumerate(("left", "right"))}
        return factors, np.concatenate(list(factors.values()))
    return factors, truth.product(rng, 2 * size)


def learned(
    program: str, given: dict[str, Points], seed: int, folder: Path, **constants: int
) -> tuple[cg.Model, Points]:
    """A program of the example, learned anew in a folder of its own, and its draws."""
    shutil.copy(EXAMPLE / program, folder)
    constants = {"seed": seed, **constants}
    model = cg.compile(folder / program, data=given, constants=constants)
    run = model.sample(seed=seed, chains=1, draws=DRAWS)
    return model, np.asarray(run.posterior["x"])[0]


def nats(target: str, model: cg.Model) -> float:
    """The mean of -log q over draws of the truth; q is what the learned energies say, normalised on a grid."""
    model.learn()
    b = load_backend("numpy")
    points = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=2).reshape(-1, 2)
    many = TARGETS[target](np.random.default_rng(2**20), 10_000)
    with b.scope():
        weigh = Density(model.program.graph, b, by_part(model.learn())).energy_of_values
        at_grid, at_draws = (np.asarray(weigh({"x": x})) for x in (points, many))
    return float(at_draws.mean() + logsumexp(-at_grid) + 2 * np.log(GRID[1] - GRID[0]))


def measured(target: str, size: int, seed: int, **constants: int) -> Iterator[dict[str, object]]:
    """A row of results for the composition, the joint model, and draws of the truth."""
    factors, joint = data(target, size, seed)
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "composed": learned(f"{target}.cg", factors, seed, Path(folder), **constants),
            "joint": learned("joint.cg", {"points": joint}, seed, Path(folder), **constants),
        }
        scores = {name: nats(target, model) for name, (model, _) in models.items()}
    draws = {name: x for name, (_, x) in models.items()}
    draws["truth"] = TARGETS[target](np.random.default_rng([seed, size, 1]), DRAWS)
    many = TARGETS[target](np.random.default_rng(2**20), MANY)
    scores["truth"] = -float(truth.log_density(target, many).mean())
    for name, x in draws.items():
        far = {measure: f"{value:.5f}" for measure, value in distances(target, x).items()}
        row = {"target": target, "size": size, "seed": seed, "model": name, **far}
        yield {**row, "nats": f"{scores[name]:.4f}"}


def measure(target: str, seeds: list[int]) -> None:
    """Append to the results what they do not hold yet."""
    known = {(r["target"], int(r["size"]), int(r["seed"])) for r in results()}
    for seed in seeds:
        for size in SIZES:
            if (target, size, seed) in known:
                continue
            rows = list(measured(target, size, seed))
            is_new = not RESULTS.exists()
            with RESULTS.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                if is_new:
                    writer.writeheader()
                writer.writerows(rows)
            print(target, size, seed, flush=True)


def results() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(target: str, measure: str) -> dict[str, dict[int, Points]]:
    """A measure of each model at each size, one number a seed that was measured."""
    rows = [r for r in results() if r["target"] == target]
    return {
        model: {
            size: np.array(
                [
                    float(r[measure])
                    for r in rows
                    if (r["model"], int(r["size"])) == (model, size) and r[measure]
                ]
            )
            for size in SIZES
        }
        for model in ("composed", "joint", "truth")
    }


def report() -> None:
    """Means over seeds, and paired tests that the composition is nearer to the truth."""
    for target in TARGETS:
        for measure in MEASURES:
            of = table(target, measure)
            gains = {size: of["joint"][size] - of["composed"][size] for size in SIZES}
            gain = np.concatenate(list(gains.values()))
            if not len(gain):
                continue
            print(f"{target}, {measure}: composed is nearer in {(gain > 0).sum()} of {len(gain)} pairs, "
                  f"Wilcoxon p = {wilcoxon(gain, alternative='greater').pvalue:.1e}")  # fmt: skip
            for size in (s for s in SIZES if len(gains[s])):
                means = ", ".join(f"{model} {values[size].mean():.4f}" for model, values in of.items())
                print(f"  {size:5} rows: {means}; nearer in {(gains[size] > 0).sum()} of {len(gains[size])}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?", choices=list(TARGETS))
    parser.add_argument("seeds", nargs="*", type=int, default=list(SEEDS))
    arguments = parser.parse_args()
    if arguments.target is None:
        report()
    else:
        measure(arguments.target, arguments.seeds)


if __name__ == "__main__":
    main()
