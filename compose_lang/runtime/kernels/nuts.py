"""NUTS: the no-U-turn sampler of NumPyro, whose trees are built here and whose adaptation is that of `hmc`.

NumPyro's `build_tree` makes one transition from a position, a step size and a mass (Hoffman and Gelman 2014;
Betancourt 2017 for the multinomial choice in a trajectory). Driving it directly leaves nothing hidden: its
key comes from the step's noise, and the energy and gradient it starts from are those of the present position,
also where another block has moved since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.kernels import hmc
from compose_lang.runtime.kernels.common import adaptation
from compose_lang.runtime.kernels.common.adaptation import (
    MOST_ENERGY_ERROR,
    State,
    Windows,
    first_step,
    here,
    schedule_of,
    start,
)
from compose_lang.runtime.kernels.common.kernel import BoundKernel, ContinuousBlock, Kernel, Option

TARGET = 0.8
MOST_DEPTH = 10


@dataclass(frozen=True)
class NUTS:
    """One tree a step; its length is found by itself."""

    block: ContinuousBlock
    backend: Backend
    schedule: Windows
    step_size: float
    target: float
    depth: int

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"momentum": NoiseSpec("normal", (self.block.size,)), "key": NoiseSpec("word", (2,))}

    def init(self, position: Position, keys: Array) -> State:
        return start(self.block, position, self.step_size, self.backend)

    def step(
        self, position: Position, state: State, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, State, dict[str, Array]]:
        u, energy, gradient = here(self.block, position, state)
        h = adaptation.step_size(state.adaptation, t, self.schedule, self.backend)
        variance = state.adaptation.variance
        momentum = noise["momentum"] / self.backend.xp.sqrt(variance)
        tree = self.trees(position, u, momentum, energy, gradient, variance, h, noise["key"])

        accept_prob = tree.sum_accept_probs / tree.num_proposals
        learned = adaptation.adapt(
            state.adaptation,
            tree.z_proposal,
            tree.z_proposal_grad,
            accept_prob,
            self.target,
            t,
            self.schedule,
            self.backend,
        )
        statistics = {
            "accept_prob": accept_prob,
            "step_size": h,
            "energy": tree.z_proposal_pe,
            **self.ended(tree, position),
            "num_steps": tree.num_proposals,
        }
        state = State(tree.z_proposal_pe, tree.z_proposal_grad, learned)
        return self.block.unravel(position, tree.z_proposal), state, statistics

    def ended(self, tree: Any, position: Position) -> dict[str, Array]:
        """Whether trees diverged, told from walls: a tree that stops early has its last point at an end."""
        if not self.block.has_walls:
            return {"diverging": tree.diverging}
        xp = self.backend.xp
        ends = [self.block.energy(u, position) for u in (tree.z_left, tree.z_right)]
        at_wall = tree.diverging & (xp.maximum(*ends) == xp.inf)
        return {"diverging": tree.diverging & ~at_wall, "at_wall": at_wall}

    def trees(self, position: Position, *arrays: Array) -> Any:
        """NumPyro's `TreeInfo` of each chain."""
        import jax
        from numpyro.infer.hmc_util import (
            IntegratorState,
            build_tree,
            euclidean_kinetic_energy,
            velocity_verlet,
        )

        def one_chain(
            place: Tree, u: Array, r: Array, e: Array, g: Array, v: Array, h: Array, key: Array
        ) -> Any:
            batch_of_one = tree_map(lambda leaf: leaf[None], place)
            potential = lambda z: self.block.energy(z[None], batch_of_one)[0]  # noqa: E731
            _, verlet = velocity_verlet(potential, euclidean_kinetic_energy)
            key = jax.random.wrap_key_data(key, impl="threefry2x32")
            begin = IntegratorState(u, r, e, g)
            return build_tree(
                verlet, euclidean_kinetic_energy, begin, v, h, key, MOST_ENERGY_ERROR, self.depth
            )

        if arrays[0].shape[0] > 1:
            return jax.vmap(one_chain)(position, *arrays)
        # One chain needs no vmap, under which every branch of a tree is computed and selected from.
        tree = one_chain(*tree_map(lambda leaf: leaf[0], (position, *arrays)))
        return jax.tree.map(lambda leaf: leaf[None], tree)


def bind(block: ContinuousBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """NUTS over a block, on JAX."""
    return NUTS(
        block,
        backend,
        schedule_of(options, warmup),
        first_step(options, block.size**-0.25),
        float(options.get("target_accept") or TARGET),
        int(options.get("max_depth") or MOST_DEPTH),
    )


KERNEL = Kernel(
    name="nuts",
    summary="the no-U-turn sampler: Hamiltonian trajectories that stop where they turn back",
    serves=frozenset({"continuous"}),
    bind=bind,
    options={
        "step": Option(None, "leapfrog step size; adapted where it is not given"),
        "target_accept": Option(TARGET, "the acceptance that the step size is adapted to"),
        "max_depth": Option(MOST_DEPTH, "doublings of a trajectory at most", "whole number"),
    },
    needs_gradient=True,
    wraps="numpyro",
    at_shares=hmc.KERNEL.name,
)
