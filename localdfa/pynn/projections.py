"""Projections: PyNN's connectors say which cells are joined, synapse by synapse, and the arrays are kept."""

from typing import Any

import numpy as np
from pyNN import common
from pyNN.parameters import ParameterSpace
from pyNN.space import Space

from localdfa.errors import SpecError
from localdfa.pynn import simulator
from localdfa.pynn.models import StaticSynapse


class Connection(common.Connection):
    """One synapse of a projection; weight (nA, or mV of IF_curr_delta) and delay (ms) may be set."""

    def __init__(self, projection: "Projection", k: int) -> None:
        self._projection, self._k = projection, k

    @property
    def presynaptic_index(self) -> int:
        """Which cell of the projection's `pre` it comes from."""
        return int(self._projection.synapses["presynaptic_index"][self._k])

    @property
    def postsynaptic_index(self) -> int:
        """Which cell of the projection's `post` it goes to."""
        return int(self._projection.synapses["postsynaptic_index"][self._k])

    @property
    def weight(self) -> float:
        return float(self._projection.synapses["weight"][self._k])

    @weight.setter
    def weight(self, value: float) -> None:
        self._projection.change("weight", self._k, value)

    @property
    def delay(self) -> float:
        return float(self._projection.synapses["delay"][self._k])

    @delay.setter
    def delay(self, value: float) -> None:
        self._projection.change("delay", self._k, value)

    def as_tuple(self, *names: str) -> tuple[Any, ...]:
        """Some of its attributes."""
        return tuple(getattr(self, name) for name in names)


class Projection(common.Projection):
    __doc__ = common.Projection.__doc__
    _simulator = simulator
    _static_synapse_class = StaticSynapse

    def __init__(
        self,
        presynaptic_population: Any,
        postsynaptic_population: Any,
        connector: Any,
        synapse_type: Any = None,
        source: str | None = None,
        receptor_type: str | None = None,
        space: Space | None = None,
        label: str | None = None,
    ) -> None:
        simulator.state.require_open("a projection is added")
        common.Projection.__init__(
            self, presynaptic_population, postsynaptic_population, connector, synapse_type, source, receptor_type,
            Space() if space is None else space, label,
        )  # fmt: skip
        for group in (presynaptic_population, postsynaptic_population):
            simulator.state.require_known(group)
        if source is not None:
            raise SpecError(f"Projection: source={source!r}; allowed: None, as cells have one compartment")
        if not isinstance(self.synapse_type, StaticSynapse):
            raise SpecError(f"Projection: {type(self.synapse_type).__name__} as synapse; allowed: localdfa.pynn.StaticSynapse")
        self._parts: list[tuple[np.ndarray, ...]] = []
        connector.connect(self)
        none = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
        columns = [np.concatenate(column) for column in zip(none, *self._parts, strict=True)]
        names = ("presynaptic_index", "postsynaptic_index", "weight", "delay")
        self.synapses: dict[str, np.ndarray] = dict(zip(names, columns, strict=True))
        self._parts.clear()
        simulator.state.projections.append(self)

    def __len__(self) -> int:
        return len(self.synapses["weight"])

    def __getitem__(self, k: int) -> Connection:
        if not -len(self) <= k < len(self):
            raise IndexError(f"connection {k} of {len(self)}")
        return Connection(self, k)

    @property
    def connections(self) -> list[Connection]:
        """All synapses, one by one."""
        return [*self]

    def change(self, name: str, which: Any, values: Any) -> None:
        """Set the weights or delays of some synapses, by number; SpecError where the network already runs."""
        simulator.state.require_open("synapses are set")
        self.synapses[name][which] = values

    def _convergent_connect(
        self, presynaptic_indices: np.ndarray, postsynaptic_index: int, location_selector: Any = None, **parameters: Any
    ) -> None:
        """Join some cells with one."""
        if location_selector is not None:
            raise SpecError("connector: location_selector; allowed: None, as cells have one compartment")
        n = len(presynaptic_indices)
        values = [np.broadcast_to(np.asarray(parameters[name], float), n) for name in ("weight", "delay")]
        self._parts.append((np.asarray(presynaptic_indices), np.full(n, postsynaptic_index), *values))

    def _set_attributes(self, parameter_space: ParameterSpace) -> None:
        parameter_space.evaluate(simplify=True)
        which = self.synapses["presynaptic_index"], self.synapses["postsynaptic_index"]
        for name, value in parameter_space.items():
            self.change(name, slice(None), value[which] if isinstance(value, np.ndarray) else value)

    def _set_initial_value_array(self, variable: str, values: Any) -> None:
        raise SpecError(f"Projection.initialize: {variable}; allowed: nothing, as synapses have no state")

    def _get_attributes_as_list(self, names: list[str]) -> list[tuple[Any, ...]]:
        return list(zip(*(self.synapses[name].tolist() for name in names), strict=True))
