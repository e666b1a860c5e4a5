"""A peer, run by the Python that has it: THRML's updates a second on a graph given as an NPZ of edges and couplings.

usage: python thrml_ising.py FILE CHAINS SWEEPS REPEATS; prints seconds of building, then updates a second of each.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from thrml import Block, SamplingSchedule, SpinNode, sample_states
from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

path, chains, sweeps, repeats = sys.argv[1], *map(int, sys.argv[2:5])
jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # the fastest it can use
began = time.perf_counter()
graph = np.load(path)
nodes = [SpinNode() for _ in graph["colours"]]
edges = [(nodes[a], nodes[b]) for a, b in graph["edges"]]
model = IsingEBM(
    nodes, edges, jnp.zeros(len(nodes)), jnp.asarray(graph["couplings"], jnp.float32), jnp.array(1.0)
)
colours = graph["colours"]
blocks = [Block([nodes[i] for i in np.flatnonzero(colours == c)]) for c in range(colours.max() + 1)]
program = IsingSamplingProgram(model, blocks, [])
schedule = SamplingSchedule(sweeps, 1, 1)
start = hinton_init(jax.random.key(0), model, blocks, (chains,))
watched = [Block(nodes[:1])]
run = jax.jit(jax.vmap(lambda key, state: sample_states(key, program, schedule, state, [], watched)))
keys = jax.random.split(jax.random.key(1), chains)
jax.block_until_ready(run(keys, start))
print(f"{time.perf_counter() - began:.2f}", flush=True)
for _ in sys.stdin if repeats == 0 else range(repeats):
    began = time.perf_counter()
    jax.block_until_ready(run(keys, start))
    print(f"{len(nodes) * chains * (sweeps + 1) / (time.perf_counter() - began):.6g}", flush=True)
