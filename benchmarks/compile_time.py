"""Time from text to a compiled energy as a plate grows: `python benchmarks/compile_time.py [--backend torch]`.

A plate is one node with one axis, never unrolled, so the time should not grow with the number of instances.
Each size is timed in a process of its own, with the imports of the backend done before the clock starts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

SIZES = [10**k for k in range(2, 7)]
PROGRAM = """
const n = {size}
data y: real[n]
var mu: real ~ Normal(0, 5)
var sigma: positive ~ HalfNormal(2)
for i in range(n) {{
  y[i] ~ Normal(mu + 0.1 * i / n, sigma)
}}
"""


def measure(size: int, backend: str) -> tuple[float, float, float]:
    """Seconds to build the density, to its first energy and gradient (compiled there), and for the next."""
    import numpy as np

    import compose_lang as cg
    from compose_lang.runtime.backends import load_backend
    from compose_lang.runtime.density.density import Density
    from compose_lang.runtime.planning.plan import plan
    from compose_lang.runtime.views.views import views_of

    library = load_backend(backend)
    y = np.random.default_rng(0).normal(size=size)
    with library.scope():
        library.to_numpy(library.asarray(np.ones(2)) + 1)  # what starting the library takes is not ours
        times = [time.perf_counter()]
        model = cg.compile(PROGRAM.format(size=size), data={"y": y})
        chosen = plan(model.program.graph, backend, [])
        views = views_of(Density(model.program.graph, library), chosen.blocks)
        times.append(time.perf_counter())
        (names,) = (block.variables for block in chosen.blocks)

        def gradient(constants: object, u: object) -> object:
            block = views.on(constants).block(names)
            return block.energy_and_gradient(u, {})

        compiled = library.compile(gradient)
        u = library.asarray(np.zeros((4, 2)))
        for _ in range(2):
            library.to_numpy(compiled(views.constants, u)[1])
            times.append(time.perf_counter())
    return tuple(np.diff(times))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default="jax", choices=["jax", "torch", "numpy"])
    parser.add_argument("--size", type=int, help="time one size in this process")
    arguments = parser.parse_args()
    if arguments.size:
        print(
            "{:10d} {:10.3f} {:14.3f} {:14.4f}".format(
                arguments.size, *measure(arguments.size, arguments.backend)
            )
        )
        return
    print(
        f"{'instances':>10} {'build s':>10} {'first call s':>14} {'next call s':>14}   ({arguments.backend})"
    )
    for size in SIZES:
        command = [sys.executable, __file__, "--backend", arguments.backend, "--size", str(size)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
