"""The operations of the IR by what they do; importing this package fills the table `OPS`."""

from compose_lang.compiler.ir.operation import OPS
from compose_lang.compiler.ir.ops import (
    elementwise,
    gather,
    learned,
    linear_algebra,
    quantiles,
    reductions,
    scan,
    structure,
)

__all__ = [
    "OPS",
    "elementwise",
    "gather",
    "learned",
    "linear_algebra",
    "quantiles",
    "reductions",
    "scan",
    "structure",
]
