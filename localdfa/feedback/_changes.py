"""Feedback matrices that change while a network learns: made anew from the weights, learned from noise, or taught."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.core.products import product
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.update import Update

if TYPE_CHECKING:
    from localdfa.engines import Engine
    from localdfa.network import Network
    from localdfa.spec import Setting

Matrices = Sequence[np.ndarray | None]


class Changes:
    """What changes the matrices B of one pathway, and what it remembers.

    network: with that pathway, whose B are changed in place. drawn: the random matrices of the hidden layers, as they were
    drawn. strict: whether each B takes the norm of the weights that it stands in for. optimiser: that of the weights, by which
    B learns where it is taught. engine: what noise is sent through a network by, see `Pathway.mirror`.
    """

    def __init__(
        self, network: "Network", setting: "Setting", drawn: Matrices, strict: bool, optimiser: Any, engine: "Engine"
    ) -> None:
        self._network, self._table, self._drawn, self._strict = network, setting.feedback, drawn, strict
        self._engine = engine
        self._matrices = dict(_there(network.feedback))
        self._plasticity, self._factors = None, dict[int, tuple[np.ndarray, ...]]()
        if network.pathway.learns():
            self._factors = {l: network.pathway.factors(matrix, self._table) for l, matrix in self._matrices.items()}
            undecayed = [k * len(factor) for factors in self._factors.values() for k, factor in enumerate(factors)]
            self._plasticity = Plasticity(self._taught, optimiser, setting.optimiser.weight_decay, undecayed)

    def before(self, rng: np.random.Generator) -> None:
        """Change B before a mini-batch: make it anew from the weights, or let noise teach it."""
        self.follow(rng)
        if self._network.pathway.mirrors():
            for l, matrix in self._matrices.items():
                self._network.pathway.mirror(self._network, l, self._table, rng, matrix, self._engine)

    def follow(self, rng: np.random.Generator) -> None:
        """Make B anew from the weights, where it follows them, or from its factors, where these learn."""
        if self._network.pathway.follows() or self._strict:
            follow(self._network, self._drawn, self._strict, rng)
        for l, factors in self._factors.items():
            if len(factors) > 1:
                receivers, senders = factors
                product(1.0, receivers, senders, False, self._matrices[l])

    def after(self, update: Update, optimiser: Any) -> None:
        """Change B by what a mini-batch teaches, where it is taught; optimiser: with the learning rate of the time."""
        if self._plasticity is None:
            return
        pathway = self._network.pathway
        taught = [each for l, factors in self._factors.items() for each in pathway.taught(self._network, l, update, factors)]
        self._plasticity.optimiser = optimiser
        of_matrices = Update(
            sent=[each.pre for each in taught],
            change=[each.change for each in taught],
            total=[each.total for each in taught],
            events=0,
        )
        self._plasticity.learn(self._taught, of_matrices)

    @property
    def _taught(self) -> list[np.ndarray]:
        """The matrices that learn, each B or its factors."""
        return [factor for factors in self._factors.values() for factor in factors]

    @property
    def matrices(self) -> list[np.ndarray]:
        """B of each hidden layer that has one, and its factors where these learn."""
        return [*self._matrices.values(), *(factor for pair in self._factors.values() if len(pair) > 1 for factor in pair)]

    def arrays(self) -> dict[str, np.ndarray]:
        """B, and what an optimiser remembers of it, from which training goes on; they may be written into."""
        arrays = {f"B{l + 1}": matrix for l, matrix in self._matrices.items()}
        if self._plasticity is not None:
            names = [f"{name}{l + 1}" for l, factors in self._factors.items() for name in ("QP" if len(factors) > 1 else "B")]
            arrays |= dict(zip(names, self._taught, strict=True))
            for name, *remembered in zip(names, self._plasticity.state, self._plasticity.last, strict=True):
                arrays |= dict(zip((f"state_{name}", f"last_{name}"), remembered, strict=True))
        return arrays

    def counts_well(self) -> bool:
        """Whether no row of B was visited by an update that is still to come."""
        numbers = [] if self._plasticity is None else self._plasticity.last
        return all(((last >= 0) & (last <= self.steps)).all() for last in numbers)

    @property
    def steps(self) -> int:
        """The number of updates so far, of B that is taught."""
        return 0 if self._plasticity is None else self._plasticity.steps[0]

    @steps.setter
    def steps(self, number: int) -> None:
        if self._plasticity is not None:
            self._plasticity.steps = [number] * len(self._plasticity.steps)


def follow(network: "Network", drawn: Matrices, strict: bool, rng: np.random.Generator) -> None:
    """Make B of each hidden layer anew from the forward weights.

    drawn: the random matrices, as they were drawn. strict: give each the norm of the weights that it stands in for,
    B ‖W‖ / ‖B‖ (Moskovitz et al. 2018).
    """
    for l, matrix in _there(network.feedback):
        random, weights = drawn[l], network.pathway.replaces(network, l)
        assert random is not None
        if network.pathway.follows():
            network.pathway.follow(network, l, random, rng, matrix)
        if strict:
            assert weights is not None
            source = matrix if network.pathway.follows() else random
            norm = np.linalg.norm(source)
            np.multiply(source, matrix.dtype.type(np.linalg.norm(weights) / norm if norm > 0 else 0), out=matrix)


def _there(matrices: Matrices) -> Iterator[tuple[int, np.ndarray]]:
    """Each matrix that there is, and its layer from 0."""
    return ((l, matrix) for l, matrix in enumerate(matrices) if matrix is not None)
