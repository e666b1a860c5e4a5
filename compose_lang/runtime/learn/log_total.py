"""The log of a total that a likelihood is divided by, exactly, with its gradient.

In: a `Total` of the compiler. Out: log Z as a function of the params' values, on a backend. The gradient of log Z is
minus the mean slope of the energy in the model without its data, E_model[dE/dk]; elimination gives it as the
probabilities of all that the factors' tables can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.plan import Plan
from compose_lang.runtime.backend import Array, Backend
from compose_lang.runtime.density import Density
from compose_lang.runtime.learn.prepare import Learned

if TYPE_CHECKING:
    from compose_lang.compiler.totals import Total


class LogTotal:
    """log Z of one `Total`. constants: the arrays it reads, which compiled functions take as an argument."""

    def __init__(self, total: Total, backend: Backend, learned: Learned) -> None:
        self.total = total
        exact = total.exact
        plan = Plan(()) if exact is None else Plan((exact.block,), exact={exact.names: exact})
        self.density = Density(total.graph, plan, backend, learned)
        summed = () if exact is None else exact.groups
        self.rest = [g for g in total.graph.groups if g not in summed]

    @property
    def constants(self) -> dict[str, Any]:
        return self.density.constants

    def of(self, constants: Mapping[str, Any], params: Mapping[str, Array]) -> Array:
        """log Z (1,) in nats, where the params have these values (1, *shape)."""
        density = self.density.with_constants(constants)
        energy = density.backend.xp.zeros((1,), dtype=density.backend.real)
        for each in density.group_energies(self.rest, params):
            energy = energy + each
        if self.total.exact is not None:
            energy = energy + density.joint(self.total.exact.names).free_energy(params)
        return -self.total.count * energy
