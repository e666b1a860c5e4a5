"""ULA: Langevin steps that are all taken; `mala` has the step itself.

Draws follow the density up to a bias of the order of the step size. The step is learned in warm-up so that
MALA would accept nine in ten of its proposals, an error of some 0.1 nats a step, and the mass as in MALA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.kernels.common.adaptation import first_step, schedule_of
from compose_lang.runtime.kernels.common.kernel import (
    BoundKernel,
    ContinuousBlock,
    Kernel,
    Option,
)
from compose_lang.runtime.kernels.mala import Langevin

TARGET = 0.9


def bind(block: ContinuousBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """ULA over a block."""
    step = first_step(options, 0.1 * block.size ** (-1.0 / 3.0))
    return Langevin(block, backend, schedule_of(options, warmup), step, TARGET, corrected=False)


KERNEL = Kernel(
    name="ula",
    summary="Langevin steps without an accept step: fast, and biased by the step size",
    serves=frozenset({"continuous"}),
    bind=bind,
    options={"step": Option(None, "step size h; where it is not given, one that MALA would accept in 90 %")},
    needs_gradient=True,
    approximate="Langevin steps without correction: the draws are off by an amount that shrinks with the step",
)
