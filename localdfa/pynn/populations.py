"""Populations, views and assemblies: PyNN's, whose cells are kept as arrays of parameters until a circuit is made of them."""

from typing import Any

import numpy as np
from pyNN import common
from pyNN.errors import InvalidParameterValueError
from pyNN.parameters import ParameterSpace, simplify

from localdfa.errors import SpecError
from localdfa.pynn import simulator
from localdfa.pynn.recording import Recorder


class Assembly(common.Assembly):
    __doc__ = common.Assembly.__doc__
    _simulator = simulator


def _checked(name: str, values: Any) -> Any:
    """Values of a parameter of cells; InvalidParameterValueError where spike times are not in order."""
    for times in np.ravel(values) if name == "spike_times" else ():
        if (np.diff(times.value) < 0).any():
            raise InvalidParameterValueError("spike_times: not in order; allowed: times that ascend")
    return values


class _Cells:
    """What populations and views share: parameters and first values of some cells of a population."""

    _simulator, _assembly_class = simulator, Assembly

    def _whole(self) -> tuple["Population", Any]:
        """The population, and which of its cells these are."""
        raise NotImplementedError

    def _get_view(self, selector: Any, label: str | None = None) -> "PopulationView":
        return PopulationView(self, selector, label)

    def _get_parameters(self, *names: str) -> ParameterSpace:
        population, which = self._whole()
        found = {name: simplify(population.parameters[name][which]) for name in names}
        return ParameterSpace(found, shape=(self.size,))  # type: ignore[attr-defined]

    _get_native_parameters = _get_parameters

    def _set_parameters(self, parameter_space: ParameterSpace) -> None:
        population, which = self._whole()
        parameter_space.evaluate(simplify=False)
        for name, values in parameter_space.items():
            whole = population.parameters[name].copy()
            whole[which] = _checked(name, values)
            if simulator.state.circuit is not None:
                simulator.state.change(population, name, whole)
            population.parameters[name] = whole

    def _set_initial_value_array(self, variable: str, values: Any) -> None:
        simulator.state.require_open("first values are set")
        population, which = self._whole()
        if variable not in population.celltype.default_initial_values:
            allowed = ", ".join(population.celltype.default_initial_values)
            raise SpecError(f"initialize: {variable}; allowed of {type(population.celltype).__name__}: {allowed or 'nothing'}")
        # Drawn once, so that views and runs after a reset have the same.
        values.base_value, values.operations = simplify(values.evaluate(simplify=False)), []
        if variable != "v" and np.any(values.base_value):
            raise SpecError(f"initialize: {variable}: synaptic currents begin at 0; allowed: v")
        population.first.setdefault(variable, np.zeros(population.size))[which] = values.base_value


class PopulationView(_Cells, common.PopulationView):
    __doc__ = common.PopulationView.__doc__

    def _whole(self) -> tuple["Population", Any]:
        return self.grandparent, self.index_in_grandparent(np.arange(self.size))


class Population(_Cells, common.Population):
    __doc__ = common.Population.__doc__
    _recorder_class = Recorder

    def _whole(self) -> tuple["Population", Any]:
        return self, slice(None)

    def _create_cells(self) -> None:
        try:
            self._made_of_cells()
        except Exception:  # PyNN has made a recorder already, which a reset would look at
            simulator.state.recorders.discard(self.recorder)
            raise

    def _made_of_cells(self) -> None:
        state = simulator.state
        state.require_open("a population is added")
        if type(self.celltype).__module__ != "localdfa.pynn.models":
            raise SpecError(
                f"Population: {type(self.celltype).__name__} is a model of {type(self.celltype).__module__}; allowed: those of "
                "localdfa.pynn"
            )
        self.all_cells = np.array([simulator.ID(state.cells + i) for i in range(self.size)], simulator.ID)
        self._mask_local = np.ones(self.size, bool)
        for cell in self.all_cells:
            cell.parent = self
        space = self.celltype.native_parameters
        space.shape = (self.size,)
        space.evaluate(simplify=False)
        self.parameters: dict[str, np.ndarray] = {}
        for name, values in space.as_dict().items():
            self.parameters[name] = np.empty(self.size, object if name == "spike_times" else float)
            self.parameters[name][:] = _checked(name, values)
        self.first: dict[str, np.ndarray] = {}
        state.cells += self.size
        state.populations.append(self)
