"""Neuron models, one file each: of rate neurons, and of spiking neurons.

A rate neuron is a ``NamedTuple`` of parameters with three compiled hooks: the activity ``f``, its slope ``df`` (only the exact
rules and the measurements read it) and ``inverse``, which turns an activity back into a drive so that threshold crossings are
solved in closed form. Every ``f`` rises, or stays: the events rely on it. A model from outside in which one of them is wrong at
one of some points is refused. If it has the parameter ``tau``, this is the time constant of its drive's relaxation, ms; with 0,
and without the parameter, it settles at once. It may set ``from_zero = True``, if ``network.weights = "auto"`` shall start it
from zero where the rule allows it, or ``flat_at_zero = True``, if it has no slope at zero drive, so that exact rules do not
learn from there, or ``kinked = True``, if its slope jumps somewhere: the error of a nudge across it has no order in β.
``pytorch(p)``, which is not compiled, returns the activity as a `torch.nn.Module` that acts on each neuron by itself. By it the
certificate computes the model a second time, apart from ``f`` and ``df``; a model without it cannot be certified.

A spiking neuron sets ``spiking = True`` and has hooks that are exact under a constant drive: ``relax``, the membrane after
some time without a spike; ``wait``, the time to the next spike, infinite if none comes; ``rate``, the f–I curve in spikes per
ms. The simulation reads ``tau_m``, ``v_th`` (where v spikes), ``v_reset``, ``t_ref``, ``baseline`` and ``gain`` besides, and a
spike that arrives moves v at once. A model without such closed forms cannot be simulated from event to event. Its ``f`` and
``df`` are the activity of the rate neuron with the same f–I curve: the exact rules and the measurements read them.

``linear`` is true if the membrane is τ_m dv/dt = −v + I, for which there are faster kernels and synaptic currents. They ask
for ``relax`` and ``wait`` only where nothing arrives. Where ``adapts`` is true, the membrane is linear, a spike turns the raise
θ of the threshold into ``raised(θ)``, and θ decays with the parameter ``tau_a``; false otherwise. ``equation`` is the
right-hand side of τ_m dv/dt as text, of v and the drive I, by which Brian2 simulates a model whose membrane is not linear, as a
witness.

Parameters that are right one by one may not go together. Then a method ``refusal(self)`` says which, and what is allowed; it
returns None where they do (see `interface.parameters_of`).

Both may have defaults of their own, where those of others do not suit them: ``learning_rates``, by optimiser, and, of a spiking
neuron, ``beta``, the nudging strength under the local rule. They are chosen on a validation split of the digits, as
`localdfa.optimisers` says; with 2, the ``beta`` of the models here, the validation error is 7 to 8 % after ten epochs.
"""

from collections.abc import Callable
from typing import Any

from localdfa import interface

_RATE: interface.Hooks = {"f": ("p", "v"), "df": ("p", "v"), "inverse": ("p", "h")}
_RATE_MAY: interface.Hooks = {
    "from_zero": None, "flat_at_zero": None, "kinked": None, "learning_rates": None, "pytorch": None
}  # fmt: skip
_SPIKING: interface.Hooks = {
    "relax": ("p", "v", "drive", "dt"), "wait": ("p", "v", "drive"), "rate": ("p", "drive"),
    "f": ("p", "a"), "df": ("p", "a"), "linear": None, "adapts": None,
}  # fmt: skip
_SPIKING_MAY: interface.Hooks = {
    "spiking": None, "raised": ("p", "theta"), "equation": None, "beta": None, "learning_rates": None
}  # fmt: skip
_MEMBRANE = {
    "tau_m": "the membrane's time constant, ms", "v_th": "where v spikes", "v_reset": "where a spike puts v",
    "t_ref": "the refractory period, ms", "baseline": "a constant drive", "gain": "of activity, ms",
}  # fmt: skip


def wrong(model: Any) -> list[str]:
    """What of a model is not as written above; see `registry.wrong`."""
    if not spikes(model):
        found = interface.wrong_tuple(model, _RATE, _RATE_MAY, {})
        found += interface.wrong_hook("pytorch", model.pytorch, ("p",), False) if hasattr(model, "pytorch") else []
        return found or _wrong_curve(model)
    if found := interface.wrong_parameters(model, _MEMBRANE):
        return found
    allowed = {**_SPIKING_MAY, **interface.parameters_of(model)}
    found = interface.wrong(model, _SPIKING, allowed, compiled=True)
    if is_linear(model) and not hasattr(model, "raised"):
        found.append("'raised' is missing, which a linear membrane has")
    if getattr(model, "adapts", False) and not (is_linear(model) and "tau_a" in model._fields):
        found.append("'adapts' is true, which goes with a linear membrane and the parameter 'tau_a'")
    return found or _wrong_curve(model)


def _wrong_curve(model: Any) -> list[str]:
    """What `_curve.wrong` finds in a model from outside; those of localdfa are held to more by its own tests."""
    if model.__module__.partition(".")[0] == "localdfa":
        return []
    from localdfa.neurons import _curve  # which who lists models does not need

    return _curve.wrong(model)


def zero_or(least: float) -> Callable[[float], float]:
    """The check of a time constant, ms, that is 0 or no shorter than `least`: between them lies what no simulation resolves."""

    def check(value: float) -> float:
        if 0 < value < least:
            raise ValueError(f"Input should be 0, or greater than or equal to {least:g}")
        return value

    check.least = least  # type: ignore[attr-defined]
    return check


def spikes(model: Any) -> bool:
    """Whether a model is one of spiking neurons."""
    return getattr(model, "spiking", False)


def is_linear(model: Any) -> bool:
    """Whether a model has a linear membrane, τ_m dv/dt = −v + I, up to the threshold."""
    return getattr(model, "linear", False)
