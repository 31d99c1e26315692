"""Membranes, traces, drives and feedback currents of some neurons in some trials after training (as spikes)."""

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from localdfa.recorders._recorder import NUMBER, Recorder, Scope, chosen

if TYPE_CHECKING:
    from localdfa.recording import Trained
    from localdfa.spec import Setting

# How many states a neuron has at a moment.
_STATES = 5


def _in_order(value: list[float] | None) -> list[float] | None:
    if value is not None and not value[0] < value[1]:
        raise ValueError(f"it does not begin before it ends; allowed: [begin, end], for instance {sorted(value)}")
    return value


class States(Recorder):
    """v1, x1, z1, drive1, current1, …, one array a layer.

    Each (trials, times, neurons): the membrane; the traces of the neuron's own spikes with τ_x and τ_z, z as its synapses
    read it; its constant drive; the feedback current, which is subtracted from it. All are those of the compartment that
    gets the feedback, x that of the soma's twin likewise. Besides, time (ms from the onset of the trial), trial (the
    training sample), neuron1 … (which neurons), edges and sign as in `spikes`.
    """

    keys = {  # noqa: RUF012
        "states": (
            int,
            Field(0, ge=0, le=10_000, description="trials of the probe whose membranes, traces and drives are kept likewise"),
        ),
        "window": (
            Annotated[list[Annotated[float, Field(ge=0, le=1e9)]] | None, AfterValidator(_in_order)],
            Field(
                None,
                min_length=2,
                max_length=2,
                description="begin and end of the time in which states are kept, ms; all of it if left out",
            ),
        ),
        "interval": (float, Field(0.5, ge=0.01, le=1e6, description="between two states that are kept, ms")),
    }
    of_spikes = True
    of_probe = True
    example = "4"
    fewer = ", a longer record.interval, a shorter record.window, or fewer record.neurons"

    @staticmethod
    def refusal(keep: Any, setting: "Setting") -> str | None:
        if keep.window is None:
            return None
        phases = setting.phases
        end = (phases.free + phases.nudged) * (2 if phases.nudging == "centered" else 1)
        if keep.window[0] < end:
            return None
        return f"record.window: it begins at {keep.window[0]:g} ms, when the trial is over; allowed: less than {end:g} ms"

    @staticmethod
    def populations(keep: Any, scope: Scope) -> tuple[int, ...]:
        return scope.sizes[1:] if scope.setting.output.spiking else scope.sizes[1:-1]

    @staticmethod
    def need(keep: Any, scope: Scope) -> float:
        begin, end = _span(keep, scope.edges)
        moments = max(0.0, end - begin) / keep.interval
        kept = min(keep.states, keep.probe, scope.samples) * sum(len(chosen(keep, n)) for n in scope.sizes[1:])
        return moments * _STATES * NUMBER * 2 * (kept + sum(scope.sizes[1:]))  # and all neurons of one trial, with their twins

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        times, samples, found, neurons = _moments(keep, trained.edges), [], dict[str, list[np.ndarray]](), {}
        for sample, trial in trained.trials(keep.states, times):
            samples.append(sample)
            times = trial.times
            for l, layer in enumerate(trial.states):
                own = neurons[f"neuron{l + 1}"] = chosen(keep, layer["V"].shape[1])
                for name, state in layer.items():
                    found.setdefault(f"{name.lower()}{l + 1}", []).append(state[:, own])
        kept = {name: np.stack(arrays) for name, arrays in found.items()}
        return {
            "time": times, "trial": np.array(samples, np.int64), "edges": trained.edges, "sign": trained.sign, **neurons, **kept
        }  # fmt: skip


def _span(keep: Any, edges: np.ndarray) -> tuple[float, float]:
    """From when to when states are kept, ms."""
    begin, end = keep.window or (0.0, float(edges[-1]))
    return begin, min(end, float(edges[-1]))


def _moments(keep: Any, edges: np.ndarray) -> np.ndarray:
    """When states are kept, ms."""
    return np.arange(*_span(keep, edges), keep.interval)


model = States
