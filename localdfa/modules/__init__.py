"""Modules of PyTorch that stand in the place of layers: one file per model, found by its name in a spec's table `module`.

A model is a subclass of ``torch.nn.Module``, built as ``model(parameters, data)``; random numbers are those of PyTorch's global
generator. Names of its own in the class begin with ``_``. It has

- ``reads``: the kind of data that it learns from, of `localdfa.data.kinds` Graph, Links, Fields, Views or Text, or
  `localdfa.data.Dataset`: samples with labels.
- ``taps``: the names of the submodules to which the error is sent, a tuple of the class or, where it depends on parameters, a
  property; empty where there is no hidden layer, and the rule is ``bp``. Each is reached once in a forward pass. Where the rule
  ``local`` is to train it they are non-linearities of single neurons.
- ``output``: the name of the submodule at whose output the error is taken; "" for the module's own.
- ``Parameters``: a NamedTuple of its parameters with their types, bounds, descriptions and defaults, which the spec gives
  beside its name. Where some of them may not go together, its method ``refusal(self)`` says which, and what is allowed; it
  returns None where they do.
- ``forward``: by the kind of data, what comes in → what it gives, for a mini-batch of m:

  - Graph: features (n, n_features) of all nodes → logits (n, n_classes). The module keeps the edges.
  - Links: features (n, n_features) of all nodes, pairs of them, int64 (2, m) → logits (m,) of an edge between each pair. The
    module keeps the edges that are learned from.
  - Fields: categories, int64 (m, n_fields) → logits (m,).
  - Views: origins (m, 3) and directions (m, 3) of rays → colours (m, 3) in [0, 1].
  - Text: symbols, int64 (m, length) → logits (m, length, n_symbols) of the next symbol of each.
  - Dataset: samples (m, *shape) → logits (m, n_classes).

- ``several = "add"``, only where a parameter gets the signals of more than one tap, or of a tap and the loss: it learns from
  their sum; see `localdfa.torch.feedback`.
- ``spread(error)``, only where nodes have neighbours: the error of each node, (n, features), passed on over the edges. It is
  linear.

What the module is, its source and its equations stand in its docstring.
"""

import inspect
from typing import Any

from localdfa import interface
from localdfa.data import Dataset
from localdfa.data.kinds import Fields, Graph, Links, Text, Views
from localdfa.errors import quoted
from localdfa.spec.models import OF_ALL_MODULES

_KINDS = (Graph, Links, Fields, Views, Text, Dataset)
_NEEDED: interface.Hooks = {"reads": None, "taps": None, "output": None, "Parameters": None, "forward": None}
_MAY: interface.Hooks = {"spread": ("self", "error"), "several": None}


def wrong(model: Any) -> list[str]:
    """What of a model is not as written above; see `registry.wrong`."""
    from torch import nn  # which takes long to import, and who lists models does not need it

    if not inspect.isclass(model) or not issubclass(model, nn.Module):
        return [f"{quoted(model)} is no subclass of torch.nn.Module"]
    found = interface.wrong(model, _NEEDED, {**dict.fromkeys(dir(nn.Module)), **_MAY})
    found += interface.wrong_hook("model", model, ("parameters", "data"), False)
    if model.forward is nn.Module.forward:
        found.append("'forward' is missing")
    reads, taps, output, several = (getattr(model, name, None) for name in ("reads", "taps", "output", "several"))
    if hasattr(model, "reads") and reads not in _KINDS:
        found.append(f"'reads' is {quoted(reads)}; allowed: {', '.join(kind.__name__ for kind in _KINDS)}")
    named = isinstance(taps, tuple) and all(isinstance(tap, str) for tap in taps)
    if hasattr(model, "taps") and not named and not isinstance(taps, property):
        found.append(f"'taps' is {quoted(taps)}; allowed: a tuple of names of submodules, or a property that gives one")
    if hasattr(model, "output") and not isinstance(output, str | property):
        found.append(f"'output' is {quoted(output)}; allowed: the name of a submodule, or ''")
    if hasattr(model, "several") and several != "add":
        found.append(f"'several' is {quoted(several)}; allowed: 'add', or none")
    if hasattr(model, "Parameters"):
        wrong_ones = interface.wrong_tuple(model.Parameters, {}, {}, {})
        wrong_ones += interface.reserved(model.Parameters, OF_ALL_MODULES)
        found += [f"'Parameters': {reason}" for reason in wrong_ones]
    return found
