"""The examples in docstrings, run as they stand."""

import doctest
import importlib

import pytest

# Modules whose public names a script or notebook uses.
MODULES = [
    "localdfa.circuit.description",
    "localdfa.data.given",
    "localdfa.data.sensors",
    "localdfa.loops",
    "localdfa.results",
    "localdfa.sklearn",
    "localdfa.spec.explain",
    "localdfa.spec.grid",
    "localdfa.spec.search",
    "localdfa.train",
]
# Those whose examples need PyTorch.
OF_PYTORCH = ["localdfa.loops"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name, tmp_path, monkeypatch):
    if name in OF_PYTORCH:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
