"""Optimisers, one file each: what turns the summed update direction of a mini-batch into a change of the weights.

An optimiser is a ``NamedTuple`` of parameters with one compiled hook, ``row(p, w, g, state, step, idle)``: it changes, in
place, the synapses ``w`` of one presynaptic neuron, shape (n_post,), given the gradient ``g`` (n_post,) and its own
``state`` (n_state, n_post) at the update number ``step`` (from 1). ``rests`` says that a row without presynaptic activity
needs no visit; the hook is then told how many updates it missed, ``idle``, and makes up for them exactly. It allocates
nothing, so it works on numbers in a loop: arithmetic with whole arrays makes new ones. Where parameters may not go together, a
method ``refusal(self)`` says so, as `localdfa.rules` tells.

Default learning rates are chosen for ten epochs of the digits, by the error on a fifth of their training set kept for
validation: under every rule, with one hidden layer of 100 neurons or two of 128, it is then 3 to 18 % of tanh, ReLU and linear
neurons, with RMSprop 4 to 11 %. Two layers of logistic neurons learn in so few epochs with RMSprop and Adam alone. A neuron
model says its own in ``learning_rates`` where these do not suit it.
"""

from typing import Any, Protocol

from localdfa import interface

# Of the table `optimiser`, what belongs to no optimiser itself.
OF_TABLE = ("name", "weight_decay")
_NEEDED: interface.Hooks = {"row": ("p", "w", "g", "state", "step", "idle"), "n_state": None, "rests": None}


class Optimiser(Protocol):
    """An optimiser with its parameters, as training sees it; each has others besides η."""

    learning_rate: float
    n_state: int
    rests: bool

    def _replace(self, *, learning_rate: float) -> "Optimiser":
        """The same with another η."""


def wrong(model: Any) -> list[str]:
    """What of a model is not as written above; see `registry.wrong`."""
    return interface.wrong_tuple(model, _NEEDED, {}, {"learning_rate": "η"}) + interface.reserved(model, OF_TABLE)
