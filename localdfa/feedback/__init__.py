"""Feedback pathways, one file each: how the error reaches the hidden layers.

A pathway is a subclass of `_pathway.Pathway`, which says what one has to define.
"""

from typing import Any

from localdfa import interface


def wrong(model: Any) -> list[str]:
    """What of a model is not as `Pathway` says; see `registry.wrong`."""
    from localdfa.feedback._pathway import Pathway  # which imports Numba, and who lists models does not need it

    found = interface.wrong_subclass(model, Pathway, ["signal"])
    if found:
        return found
    if model.shape is not Pathway.shape and model.replaces is Pathway.replaces:
        found.append("'replaces' is missing")
    within = [next(c for c in model.__mro__ if name in vars(c)) for name in ("signal", "in_time")]
    if model.in_time and within[0] is not within[1] and issubclass(*within):
        found.append("'signal' is not that of the class from which 'in_time' comes; say whether it works in time, too")
    return found
