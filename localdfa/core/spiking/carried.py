"""Where a trial ended and the next one begins, with ``phases.onset = "carried"``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from localdfa.core.spiking.state import State, at_rest
from localdfa.core.spiking.tables import Tables, tables_of

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec import Setting

# The spikes of each population: when they were sent, ms, and by which neuron.
Trains = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class Carried:
    """The state at the end of a trial; a new one says that the next trial begins at rest.

    state: of all populations, times in ms from the onset of the next trial; spikes: of each population those that are still on
    their way.
    """

    state: State | None = None
    spikes: Trains = field(default_factory=list)

    def end(self, c: Tables, spikes: Trains, duration: float) -> None:
        """A trial of this duration, ms, has ended, in which populations have sent these spikes."""
        state = self.state
        assert state is not None
        state.origin[:] -= duration
        state.until[:] -= duration
        state.spikes[:] = 0
        state.current[:] = 0
        self.spikes = []
        for k, (times, senders) in enumerate(spikes):
            ports = np.flatnonzero(c.ports["pre"] == k)
            arrived = int(state.received[ports].min(initial=len(times)))
            waiting = times[arrived:] - duration
            state.received[ports] -= arrived
            for port in ports:  # rounded, none may have arrived before the onset
                late = waiting[state.received[port] :]
                np.maximum(late, -c.delay[port], out=late)
            state.listed[k] = len(waiting)
            self.spikes.append((waiting, senders[arrived:].copy()))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for a checkpoint; nothing where no trial has ended yet."""
        if self.state is None:
            return {}
        counts = np.array([len(times) for times, _ in self.spikes])
        times, senders = (np.concatenate(columns) for columns in zip(*self.spikes, strict=True))
        return {**self.state._asdict(), "counts": counts, "times": times, "senders": senders}


def restored(network: "Network", setting: "Setting", arrays: Mapping[str, np.ndarray]) -> Carried:
    """What `Carried.arrays` gave of the training of a network.

    Raises
    ------
    KeyError, ValueError
        It is that of another network.
    """
    if not arrays:
        return Carried()
    c = tables_of(network, setting, True, [0.0] * len(network.projections))
    state = at_rest(c, np.zeros(c.first[-1]))
    for name, own in state._asdict().items():
        if arrays[name].shape != own.shape or arrays[name].dtype != own.dtype:
            raise ValueError(f"{name} has shape {arrays[name].shape} {arrays[name].dtype}, not {own.shape} {own.dtype}")
        own[...] = arrays[name]
    counts, times, senders = (arrays[name] for name in ("counts", "times", "senders"))
    sizes = np.repeat(c.sizes, counts)
    if not (
        len(counts) == len(c.sizes) and len(sizes) == len(times) == len(senders) and ((senders >= 0) & (senders < sizes)).all()
    ):
        raise ValueError("spikes that are on their way are not those of its populations")
    ends = np.cumsum(counts)[:-1]
    return Carried(state, list(zip(np.split(times, ends), np.split(senders, ends), strict=True)))
