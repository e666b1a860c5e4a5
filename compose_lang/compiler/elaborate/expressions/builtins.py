"""The one table of names that programs may use without declaring them: add a built-in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.expressions import factor_functions, functions, index_sets
from compose_lang.compiler.elaborate.expressions.calls import Builtin
from compose_lang.compiler.elaborate.factors import draws
from compose_lang.compiler.elaborate.values import Nothing
from compose_lang.compiler.graph.learned_factor import LEVEL
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.ops import OPS
from compose_lang.diagnostics import fail
from compose_lang.grammar import ast


def misplaced(name: str) -> Callable[[Context, ast.Call], Any]:
    """A name that means something on the right of a factor's declaration alone."""
    text = f"{name}(…) stands only on the right of a declaration: `density F(x: real) = {name}(…)`"
    return lambda ctx, e: fail("CG0209", text, e.span)


def read(ctx: Context, e: ast.Call) -> Any:
    fail("CG0209", "read(…) stands only on the right of a `data` declaration", e.span)


_TABLE: dict[str, Callable[[Context, ast.Call], Any]] = {
    **{name: functions.operation(name) for name, op in OPS.items() if op.arity},
    **{name: functions.reduction(name) for name, op in OPS.items() if op.reduction},
    "variance": functions.variance,
    "sd": lambda ctx, e: node("sqrt", functions.variance(ctx, e)),
    "dot": functions.dot,
    "norm": functions.norm,
    "clip": functions.clip,
    "where": functions.where_of,
    "len": functions.length,
    "shape": functions.shape,
    "stack": functions.stack,
    "concat": functions.concat,
    "transpose": functions.transpose,
    "reshape": functions.reshape,
    "argsort": functions.argsort,
    "diag": functions.diag,
    "trace": functions.trace,
    "outer": functions.outer,
    "softmax": functions.softmax,
    "log_softmax": functions.log_softmax,
    "eye": functions.eye,
    "zeros": functions.filled(0.0),
    "ones": functions.filled(1.0),
    "all_different": functions.all_different,
    "exactly_one": functions.exactly_one,
    "at_most": functions.at_most,
    "at_least": functions.at_least,
    "implies": functions.implies,
    "contrast": factor_functions.contrast,
    "product": factor_functions.gathered("product"),
    "mixture": factor_functions.gathered("mixture"),
    "log_weight": factor_functions.log_weight,
    "read": read,
    "normalize": factor_functions.normalize,
    "truncate": factor_functions.truncate,
    **{name: misplaced(name) for name in ("load", "extern")},
    **index_sets.TABLE,
    **draws.TABLE,
}

BUILTINS: dict[str, Builtin] = {name: Builtin(name, run) for name, run in _TABLE.items()}

CONSTANTS: dict[str, Any] = {
    "true": constant(True), "false": constant(False), "inf": constant(np.inf), "pi": constant(np.pi),
    "none": Nothing(), "noise_level": LEVEL,
}  # fmt: skip
