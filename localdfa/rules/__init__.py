"""Learning rules, one file each: what changes a synapse, in the engines that the rule serves.

A rule is a class. ``engines`` names those that it serves, ``settled``, ``timed`` or ``spiking``, which ask it for what follows;
a setting that needs another engine is refused. ``own`` is its feedback pathway. ``pathways`` names those that it works with,
along with all that are derived from them as classes; it is empty where any will do. ``needs_phases`` says whether a trial has
nudged phases: a rule without them is one of the settled network, whatever its neurons. One with phases whose update is the same
at every nudging strength β sets ``depends_on_beta = False``; β is then refused where no other rule reads it. One under which
hidden layers keep their weights sets ``teaches_hidden = False``; their update is then not asked for. One that may teach nothing
where drives are zero says so by ``moves_from_zero(parameters)``. ``Parameters``, a
NamedTuple, are its parameters with their bounds, or names to choose from (``Literal``), and defaults, which the spec gives in
the table ``rules.NAME``. Where some of them may not go together, its method ``refusal(self)`` says which, and what is allowed;
it returns None where they do.

``settled``: ``rule(network, phases, parameters)`` has two methods, which write the change Δz/β of one layer into ``change`` (m,
n), one row a sample. Weights then follow ΔW = η Σ_samples Δz xᵀ. For the exact rules Δz is −δa.

- ``hidden(l, free, moved, signal, change)`` is called for one hidden layer after the other, in the order of the feedback
  pathway. It is given the free phase, a `core.rate.settled.FreePhase`, and the feedback signal c_l (m, n_l). It returns two
  things: how many graded events the nudged phases took, and by how much they move the activity that layer l + 1 sees, (phases,
  m, n_l), or None where that layer sees no change. What it leaves unwritten of ``change`` is refused. ``moved`` is the second
  of these for layer l − 1; it is None in the first.
- ``output(free, moved, error, change)`` is called last, with the error e (m, n_out); ``moved`` is that of the last hidden
  layer.

A rule keeps nothing from one call to the next.

``timed``: ``postsynaptic(neuron, parameters)`` is a compiled function of the neuron's parameters and its membrane: the activity
z of which a synapse reads the temporal derivative, ∫ x dz/β over the gate. ``hidden`` and ``output`` are not asked; the output
is taught −e x, as ``phases.teacher`` says.

``spiking``: what a synapse does at an arrival, at a postsynaptic spike, and where the gate opens and closes. The rule is a
subclass of `_spiking.SpikingRule`, which says how; here, too, the output is taught −e x.
"""

import inspect
from typing import Any

from localdfa import interface, registry
from localdfa.errors import quoted

_NEEDED: interface.Hooks = {"engines": None, "own": None, "pathways": None, "needs_phases": None, "Parameters": None}
_SETTLED: interface.Hooks = {
    "hidden": ("self", "l", "free", "moved", "signal", "change"), "output": ("self", "free", "moved", "error", "change")
}  # fmt: skip
_TIMED: interface.Hooks = {"postsynaptic": ("neuron", "parameters")}
_MAY: interface.Hooks = {"depends_on_beta": None, "teaches_hidden": None, "moves_from_zero": ("parameters",)}
_HOOKS = {"settled": _SETTLED, "timed": _TIMED, "spiking": {}}


def wrong(model: Any) -> list[str]:
    """What of a model is not as written above; see `registry.wrong`."""
    if not inspect.isclass(model) or issubclass(model, tuple):
        return [f"{quoted(model)} is no class of a rule"]
    engines = getattr(model, "engines", ())
    if not isinstance(engines, tuple) or not engines or not {*engines} <= {*_HOOKS}:
        return [f"'engines' is {quoted(engines)}; allowed: a tuple of {', '.join(map(repr, _HOOKS))}"]
    needed = {**_NEEDED, **{name: arguments for engine in engines for name, arguments in _HOOKS[engine].items()}}
    if "spiking" in engines:
        from localdfa.rules._spiking import SpikingRule  # which imports Numba, and who lists models does not need it

        found = interface.wrong_subclass(model, SpikingRule, ["in_activity"], {**needed, **_SETTLED, **_TIMED})
        found += [f"{name!r} is missing" for name in needed if not hasattr(model, name)]
    else:
        found = interface.wrong(model, needed, {**_SETTLED, **_TIMED, **_MAY})
    known = registry.names("feedback")
    for key in ("own", "pathways"):
        given = getattr(model, key, ())
        for name in (given,) if key == "own" and given != () else given:
            if name not in known:
                found.append(f"{key!r}: {registry.unknown(name, known)}")
    if hasattr(model, "Parameters"):
        found += [f"'Parameters': {reason}" for reason in interface.wrong_tuple(model.Parameters, {}, {}, {})]
    return found
