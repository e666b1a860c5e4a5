"""Site updates a second on Ising models, beside peers, in one run: `python -m benchmarks.ising`.

What is timed of Compose is what `compose run` executes: the plan's kernel through `Sweeper`, lanes over the cores as
the driver runs them; no loop of its own. Peers are hand-written C (compiled here, on one thread for one chain and on
two for 32), THRML and dwave-samplers (by `--peers PYTHON`, an interpreter that has them). Rounds alternate between all
of them, so that what else the machine does meets all alike; medians are printed and written to `ising.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import compose_lang as cg
from compose_lang.api.bindings import requested
from compose_lang.compiler.analyses.colouring import colour
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.driver import available_cores, lanes_of
from compose_lang.runtime.chains.sweep import Sweeper
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.planning.plan import Plan, plan
from compose_lang.runtime.views.views import views_of

HERE = Path(__file__).parent
BETA = 0.44
GRID = """
const n = 256
var s: spin[n, n]
for (p, q) in torus(n, n) { energy -0.44 * s[p] * s[q] }
let m = mean(s)
"""
GRAPH = """
data edges: int[_, 2]
data J: real[_]
const n = 1
var s: spin[n]
for e in range(len(J)) { energy -J[e] * s[edges[e, 0]] * s[edges[e, 1]] }
let m = mean(s)
"""
GLASS = """
data right: real[_, _]
data down: real[_, _]
const n = 256
var s: spin[n, n]
for i in range(n), j in range(n) {
  energy -right[i, j] * s[i, j] * s[i, (j + 1) % n] - down[i, j] * s[i, j] * s[(i + 1) % n, j]
}
let m = mean(s)
"""
SECONDS = 1.0  #: that one measurement should take, unless it is asked for

Timed = Callable[[], float]  #: makes some updates and tells how many a second


def regular(n: int, rng: np.random.Generator) -> np.ndarray:
    """The edges of a random 3-regular graph of n nodes: half-edges paired, then swapped until it is simple."""
    a, b = (rng.permutation(3 * n) // 3).reshape(2, -1)
    while True:
        keys = np.minimum(a, b) * n + np.maximum(a, b)
        bad = np.ones(len(a), dtype=bool)
        bad[np.unique(keys, return_index=True)[1]] = False
        bad |= a == b
        if not bad.any():
            return np.stack([a, b], axis=1)
        for i in np.flatnonzero(bad):
            j = rng.integers(len(a))
            b[i], b[j] = b[j], b[i]


def torus(n: int) -> np.ndarray:
    """The edges of an n x n torus."""
    cells = np.arange(n * n).reshape(n, n)
    pairs = [np.stack([cells, np.roll(cells, -1, axis)], axis=-1).reshape(-1, 2) for axis in (0, 1)]
    return np.concatenate(pairs)


def compose(
    model: cg.Model, chains: int, seconds: float, change: Callable[[Plan], Plan] = lambda p: p
) -> tuple[Timed, str]:
    """The timed kernel of a model, and the form that its plan names."""
    backend = load_backend("jax")
    chosen = change(plan(model.program.graph, "jax", requested("gibbs")))
    views = views_of(Density(model.program.graph, backend), chosen.blocks)
    lanes = lanes_of(chains, "jax", max(b.chains_together for b in chosen.blocks))
    sweeper = Sweeper(views, seed=0, warmup=0, chains=len(lanes[0]), keep=["m"])
    batches = [sweeper.start(lane) for lane in lanes]
    sites, done = model.program.graph.variables[0].free_sites, 0
    pool = ThreadPoolExecutor(available_cores())

    def run(sweeps: int) -> float:
        nonlocal batches, done
        began = time.perf_counter()
        after = list(pool.map(lambda batch: sweeper.advance(batch, done, 1, sweeps), batches))
        batches, done = [a.batch for a in after], done + sweeps
        return sites * len(lanes) * len(lanes[0]) * sweeps / (time.perf_counter() - began)

    run(1)
    sweeps = rounds(run, sites * chains, seconds)
    return (lambda: run(sweeps)), chosen.blocks[0].why.rpartition("; ")[2]


def rounds(run: Callable[[int], float], each: int, seconds: float) -> int:
    """How many sweeps of `each` updates take some seconds, beside what a call takes whatever their number."""
    sweeps, before = 1, each / run(1)
    while True:
        more = 4 * sweeps
        took = more * each / run(more)
        if took - before > seconds / 4 or took > 4 * seconds:
            marginal = max(took - before, seconds / 64) / (more - sweeps)
            return max(1, math.ceil(seconds / marginal))
        sweeps, before = more, took


def without_c(p: Plan) -> Plan:
    """The same plan in array operations."""
    (block,) = p.blocks
    return dataclasses.replace(
        p,
        blocks=(dataclasses.replace(block, structure=dataclasses.replace(block.structure, is_native=False)),),
    )


def c_peer(source: str, *arguments: object, each: int, folder: Path, seconds: float) -> Timed:
    """A C program of peers/, compiled here; a SWEEPS among its arguments is what is varied."""
    program = folder / source
    if not program.exists():
        flags = [
            "-O3",
            "-march=native",
            str(HERE / "peers" / f"{source}.c"),
            "-o",
            str(program),
            "-lm",
            "-lpthread",
        ]
        subprocess.run(["gcc", *flags], check=True)

    def run(sweeps: int) -> float:
        command = [str(program), *(str(sweeps if a == "SWEEPS" else a) for a in arguments)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])

    sweeps = rounds(run, each, seconds)
    return lambda: run(sweeps)


def python_peer(python: str, source: str, graph: Path, chains: int, sweeps: int) -> tuple[Timed, float]:
    """A script of peers/ that stays alive and measures when it is asked; and how long it took to get ready."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [python, str(HERE / "peers" / source), str(graph), str(chains), str(sweeps), "0"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    )
    assert process.stdin is not None and process.stdout is not None
    ready = float(process.stdout.readline())

    def run() -> float:
        print(file=process.stdin, flush=True)
        return float(process.stdout.readline())  # type: ignore[union-attr]

    return run, ready


def cases(
    name: str, size: int, chains: int, peers: str | None, folder: Path, seconds: float
) -> dict[str, Timed]:
    """All that is timed of one model, by name."""
    found: dict[str, Timed] = {}
    rng = np.random.default_rng(0)
    threads = 1 if chains == 1 else 2
    npz = folder / f"{name}{size}.npz"
    if name == "grid":
        sites, edges, couplings = size**2, torus(size), np.full(2 * size**2, BETA)
        found["compose"], form = compose(cg.compile(GRID, constants={"n": size}), chains, seconds)
        print(f"  compose: {form}")
        found["compose, array operations"], _ = compose(
            cg.compile(GRID, constants={"n": size}), chains, seconds, without_c
        )
        strengths = rng.normal(size=(2, size, size))
        glass = cg.compile(GLASS, data={"right": strengths[0], "down": strengths[1]}, constants={"n": size})
        found["compose, real couplings"], form = compose(glass, chains, seconds)
        print(f"  real couplings: {form}")
        each = sites * chains
        found["C"] = c_peer(
            "ising_bits", size, chains, threads, "SWEEPS", BETA, each=each, folder=folder, seconds=seconds
        )
    else:
        sites, edges = size, regular(size, rng)
        couplings = rng.normal(size=len(edges))
        model = cg.compile(GRAPH, data={"edges": edges, "J": couplings}, constants={"n": size})
        found["compose"], form = compose(model, chains, seconds)
        print(f"  compose: {form}")
        found["compose, array operations"], _ = compose(model, chains, seconds, without_c)
        raw = folder / f"{name}{size}.bin"
        write_graph(raw, edges, couplings, size)
        each = sites * chains
        found["C"] = c_peer(
            "ising_graph", raw, chains, threads, "SWEEPS", each=each, folder=folder, seconds=seconds
        )
    colours = colour(sites, [edges])
    np.savez(npz, edges=edges, couplings=couplings, colours=colours)
    if peers is not None:
        for peer, rate in (("thrml", 10e6 * min(chains, 8)), ("dwave", 2e7)):
            sweeps = max(2, math.ceil(seconds * rate / (sites * chains)))
            found[peer], ready = python_peer(peers, f"{peer}_ising.py", npz, chains, sweeps)
            print(f"  {peer} was ready after {ready:.1f} s", flush=True)
    return found


def write_graph(path: Path, edges: np.ndarray, couplings: np.ndarray, sites: int) -> None:
    """The graph as peers/ising_graph.c reads it."""
    colours = colour(sites, [edges])
    order = np.argsort(colours, kind="stable")
    place = np.empty(sites, dtype=np.int64)
    place[order] = np.arange(sites)
    ends = place[np.concatenate([edges, edges[:, ::-1]])]
    by_site = np.argsort(ends[:, 0], kind="stable")
    starts = np.searchsorted(colours[order], np.arange(colours.max() + 2))
    with path.open("wb") as file:
        for array in ([sites, colours.max() + 1], starts, ends[by_site, 1]):
            file.write(np.asarray(array, dtype=np.int32).tobytes())
        file.write(np.concatenate([couplings, couplings])[by_site].astype(np.float32).tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", help="a Python that has thrml and dwave-samplers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that one measurement should take")
    parser.add_argument("--only", nargs="*", help="as in grid256x1, graph10000x32")
    parser.add_argument("--out", type=Path, default=HERE / "ising.json")
    arguments = parser.parse_args()
    chosen = [
        (k, n, c) for k, ns in (("grid", (256, 1024)), ("graph", (10**4, 10**5))) for n in ns for c in (1, 32)
    ]
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for kind, size, chains in chosen:
        name = f"{kind}{size}x{chains}"
        if arguments.only and name not in arguments.only:
            continue
        print(f"{name}: {size if kind == 'graph' else size**2:,} spins, {chains} chains", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            timed = cases(kind, size, chains, arguments.peers, Path(folder), arguments.seconds)
            rates: dict[str, list[float]] = {what: [] for what in timed}
            for _ in range(arguments.rounds):
                for what, run in timed.items():
                    rates[what].append(run())
        medians = {what: statistics.median(r) for what, r in rates.items()}
        for what, rate in medians.items():
            print(
                f"  {what:28} {rate / 1e6:10.1f} M updates/s   x {medians['compose'] / rate:.2f}", flush=True
            )
        load = os.getloadavg()[0]
        results[name] = {
            "medians": medians,
            "all": rates,
            "load": load,
            "cores": available_cores(),
            "seconds": arguments.seconds,
        }
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
