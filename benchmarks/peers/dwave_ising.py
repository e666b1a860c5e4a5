"""A peer, run by the Python that has it: dwave-samplers' Gibbs updates a second at one temperature.

usage: python dwave_ising.py FILE CHAINS SWEEPS REPEATS; prints seconds of building, then updates a second of each.
"""

import sys
import time

import dimod
import numpy as np
from dwave.samplers import SimulatedAnnealingSampler

path, chains, sweeps, repeats = sys.argv[1], *map(int, sys.argv[2:5])
began = time.perf_counter()
graph = np.load(path)
count = len(graph["colours"])
a, b = graph["edges"].T
model = dimod.BinaryQuadraticModel.from_numpy_vectors(
    np.zeros(count), (a, b, -graph["couplings"].astype(float)), 0.0, "SPIN"
)
sampler = SimulatedAnnealingSampler()


def seconds(sweeps: int) -> float:
    start = time.perf_counter()
    sampler.sample(
        model,
        num_reads=chains,
        beta_schedule_type="custom",
        beta_schedule=[1.0],
        num_sweeps_per_beta=sweeps,
        proposal_acceptance_criteria="Gibbs",
        seed=1,
    )
    return time.perf_counter() - start


seconds(1)
print(f"{time.perf_counter() - began:.2f}", flush=True)
for _ in sys.stdin if repeats == 0 else range(repeats):
    print(f"{count * chains * sweeps / seconds(sweeps):.6g}", flush=True)
