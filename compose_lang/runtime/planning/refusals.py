"""What a program asks for by `infer` that no backend can do, found before there is a plan.

Before: the factor graph. After: `plan`, of what remains.
"""

from __future__ import annotations

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.backends import with_gradients
from compose_lang.runtime.planning.levels import annealing
from compose_lang.runtime.planning.methods import assign, assign_parts
from compose_lang.runtime.planning.tempering import tempering


def refusals(graph: FactorGraph, has_sound_levels: bool) -> list[Diagnostic]:
    """What is wrong with a program's requests on every backend that has gradients."""
    free = [v for v in graph.variables if v.free_sites]
    found: list[Diagnostic] = []
    for request in graph.requests:
        errors = []
        for backend in with_gradients():
            try:
                chosen = assign(free, [request], backend)
                assign_parts(free, [request], backend)
                if has_sound_levels and annealing(graph, chosen, backend) is None:
                    tempering(graph, chosen)
            except ComposeError as wrong:
                errors.append(wrong.diagnostics)
        if len(errors) == len(with_gradients()):
            found.extend(errors[0])
    return found
