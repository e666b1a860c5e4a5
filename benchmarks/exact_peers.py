"""What `benchmarks.exact` runs in the peers' own environment: marginals of a chain by pgmpy or PGMax.

`python exact_peers.py pgmpy|pgmax IN.npz OUT.npz REPEATS`: IN holds the energies `pairs` (steps - 1, K, K) and `single`
(steps, K); OUT the marginals (steps, K) and the seconds of each repeat, building of the model left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def by_pgmpy(single: np.ndarray, pairs: np.ndarray) -> Callable[[], np.ndarray]:
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.inference import BeliefPropagation

    try:
        from pgmpy.models import DiscreteMarkovNetwork as Network
    except ImportError:
        from pgmpy.models import MarkovNetwork as Network
    steps, k = single.shape
    model = Network([(str(t), str(t + 1)) for t in range(steps - 1)])
    names = [str(t) for t in range(steps)]
    model.add_factors(
        *(DiscreteFactor([names[t]], [k], np.exp(-single[t])) for t in range(steps)),
        *(DiscreteFactor([names[t], names[t + 1]], [k, k], np.exp(-pairs[t])) for t in range(steps - 1)),
    )

    def run() -> np.ndarray:
        inference = BeliefPropagation(model)
        inference.calibrate()
        found: dict[str, np.ndarray] = {}
        for clique, belief in inference.get_clique_beliefs().items():
            for name in clique:
                if name not in found:
                    others = [v for v in clique if v != name]
                    marginal = belief.marginalize(others, inplace=False) if others else belief
                    found[name] = marginal.values / marginal.values.sum()
        return np.stack([found[n] for n in names])

    return run


def by_pgmax(single: np.ndarray, pairs: np.ndarray) -> Callable[[], np.ndarray]:
    from types import SimpleNamespace

    import jax
    import jax.extend.backend

    # PGMax 0.6.1 asks a module that JAX no longer has which platform it is on
    jax.lib.xla_bridge = SimpleNamespace(get_backend=jax.extend.backend.get_backend)
    from pgmax import fgraph, fgroup, infer, vgroup

    jax.config.update("jax_enable_x64", True)
    steps, k = single.shape
    variables = vgroup.NDVarArray(num_states=k, shape=(steps,))
    graph = fgraph.FactorGraph(variable_groups=variables)
    graph.add_factors(
        fgroup.PairwiseFactorGroup(
            variables_for_factors=[[variables[t], variables[t + 1]] for t in range(steps - 1)],
            log_potential_matrix=-pairs,
        )
    )
    inferer = infer.build_inferer(graph.bp_state, backend="bp")
    evidence = {variables: -single}

    # exact on a tree after as many parallel rounds as it is long
    def marginals(arrays: Any) -> Any:
        done = inferer.run(arrays, num_iters=steps, damping=0.0, temperature=1.0)
        return infer.get_marginals(inferer.get_beliefs(done))[variables]

    compiled = jax.jit(marginals)
    return lambda: np.asarray(compiled(inferer.init(evidence_updates=evidence)))


def main() -> None:
    name, source, target, repeats = sys.argv[1:]
    data = np.load(source)
    run = {"pgmpy": by_pgmpy, "pgmax": by_pgmax}[name](data["single"], data["pairs"])
    seconds, found = [], run()  # the first call compiles
    for _ in range(int(repeats)):
        began = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - began)
    np.savez(target, marginals=found, seconds=seconds)


if __name__ == "__main__":
    main()
