"""Feedback pathways, one file each: how the error reaches the hidden layers.

A pathway is a subclass of `_pathway.Pathway`, which says what one has to define.
"""

from typing import Any

from localdfa import interface


def wrong(model: Any) -> list[str]:
    """What of a model is not as `Pathway` says; see `registry.wrong`."""
    from localdfa.feedback._pathway import Pathway  # which imports Numba, and who lists models does not need it

    found = interface.wrong_subclass(model, Pathway, ["signal"])
    with_matrix = not found and model.shape is not Pathway.shape
    return found + (["'replaces' is missing"] if with_matrix and model.replaces is Pathway.replaces else [])
