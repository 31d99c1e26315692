"""Cells, synapses and currents under PyNN's names, in PyNN's units: ms, mV, nA, nF and Hz."""

from typing import Any

import numpy as np
from pyNN.errors import InvalidParameterValueError
from pyNN.parameters import ParameterSpace, Sequence
from pyNN.standardmodels import StandardModelType, build_translations, cells, electrodes, synapses

from localdfa.errors import SpecError
from localdfa.pynn.simulator import state


def _as_they_are(model: type[StandardModelType]) -> dict[str, Any]:
    """A circuit is made of parameters in PyNN's units, so nothing is translated."""
    return build_translations(*((name, name) for name in model.default_parameters))


class IF_curr_exp(cells.IF_curr_exp):
    __doc__ = cells.IF_curr_exp.__doc__
    translations = _as_they_are(cells.IF_curr_exp)


class IF_curr_delta(cells.IF_curr_delta):
    __doc__ = cells.IF_curr_delta.__doc__
    translations = _as_they_are(cells.IF_curr_delta)


class SpikeSourceArray(cells.SpikeSourceArray):
    __doc__ = cells.SpikeSourceArray.__doc__
    translations = _as_they_are(cells.SpikeSourceArray)


class SpikeSourcePoisson(cells.SpikeSourcePoisson):
    __doc__ = cells.SpikeSourcePoisson.__doc__
    translations = _as_they_are(cells.SpikeSourcePoisson)


class StaticSynapse(synapses.StaticSynapse):
    __doc__ = synapses.StaticSynapse.__doc__
    translations = _as_they_are(synapses.StaticSynapse)

    def _get_minimum_delay(self) -> float:
        return state.dt if state.given_min_delay == "auto" else float(state.given_min_delay)


class _Current:
    """What the kinds of currents share: their parameters, and into which cells they go."""

    def __init__(self, **parameters: Any) -> None:
        self.parameter_space = ParameterSpace(self.default_parameters, self.get_schema(), (1,))  # type: ignore[attr-defined]
        self.parameter_space.update(**parameters)
        self._native: dict[str, Any] = {}
        self.set_native_parameters(self.translate(self.parameter_space))  # type: ignore[attr-defined]

    def set_native_parameters(self, parameters: ParameterSpace) -> None:
        """Take new parameters; SpecError where the network already runs with the old ones."""
        if any(source is self for source, _ in state.currents):
            state.require_open("a current is changed")
        parameters.evaluate(simplify=True)
        given = {name: value.value if isinstance(value, Sequence) else value for name, value in parameters.as_dict().items()}
        self._native |= given
        self._check()

    def _check(self) -> None:
        """Refuse parameters that do not go together."""

    def get_native_parameters(self) -> ParameterSpace:
        """The parameters, in PyNN's units."""
        return ParameterSpace(dict(self._native))

    def inject_into(self, cells: Any) -> None:
        """Give the current to each of some cells."""
        if any(not cell.celltype.injectable for cell in cells):
            raise TypeError("Can't inject current into a spike source.")
        for cell in cells:
            state.require_known(cell.parent)
        state.inject(self, np.array([int(cell) for cell in cells]))


class DCSource(_Current, electrodes.DCSource):
    __doc__ = electrodes.DCSource.__doc__
    translations = _as_they_are(electrodes.DCSource)

    def pulses(self) -> list[tuple[float, float, float]]:
        """The current, nA, from when until when, ms."""
        return [tuple(float(self._native[name]) for name in ("amplitude", "start", "stop"))]  # type: ignore[list-item]


class StepCurrentSource(_Current, electrodes.StepCurrentSource):
    __doc__ = electrodes.StepCurrentSource.__doc__
    translations = _as_they_are(electrodes.StepCurrentSource)

    def _check(self) -> None:
        """Put times on the grid; of amplitudes that fall together the last one counts."""
        times, amplitudes = (np.asarray(self._native[name], float) for name in ("times", "amplitudes"))
        if len(times) != len(amplitudes) or (np.diff(times) < 0).any() or (times < 0).any():
            raise InvalidParameterValueError(
                f"StepCurrentSource: times {times.tolist()}, {len(amplitudes)} amplitudes; allowed: as many of both, times "
                "that ascend from 0"
            )
        times = self._round_timestamp(times, state.dt)
        last = np.append(np.diff(times) > 0.5 * state.dt, True)[: len(times)]
        self._native |= {"times": times[last], "amplitudes": amplitudes[last]}

    def pulses(self) -> list[tuple[float, float, float]]:
        """The currents, nA, from when until when, ms."""
        times = self._native["times"].tolist()
        return list(zip(self._native["amplitudes"].tolist(), times, [*times[1:], np.inf], strict=False))


CELLS = [IF_curr_exp, IF_curr_delta, SpikeSourceArray, SpikeSourcePoisson]
_KINDS = (
    (cells, CELLS, "cells have synapses that are currents or jumps, and a linear membrane, whose spike times are exact"),
    (synapses, [StaticSynapse], "synapses do not change while a network runs, and are no gap junctions"),
    (electrodes, [DCSource, StepCurrentSource], "currents change at given moments alone, without noise or waves"),
)


def _refused(model: type, message: str) -> type:
    def __init__(self: Any, *_: Any, **__: Any) -> None:
        raise SpecError(message)

    return type(model.__name__, (model,), {"__init__": __init__, "__doc__": message})


# PyNN's other standard models by name: that there are none of them here is said when one is made.
REFUSED = {
    name: _refused(
        model,
        f"{name}: {why}; allowed: {', '.join(each.__name__ for each in there)}; "
        "other back ends of PyNN, as pyNN.nest, have more",
    )
    for module, there, why in _KINDS
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, StandardModelType) and model.__module__ == module.__name__
    if name not in {each.__name__ for each in there}
}
