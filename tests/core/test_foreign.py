"""Functions of models from outside that cannot be compiled: a line names the function, its file and what Numba finds."""

import re
from pathlib import Path

import pytest
from numba import types
from numba.core.errors import NumbaError

from localdfa import registry, spec, train
from localdfa.core.addressed import by_address
from localdfa.core.compiled import compiled, device
from localdfa.errors import ModelError

ROOT = Path(registry.__file__).parent
SGD = (ROOT / "optimisers" / "sgd.py").read_text(encoding="utf-8")
LOOP = """for j in range(w.size):
            w[j] -= p.learning_rate * g[j]"""
OUTPUT = (ROOT / "outputs" / "linear.py").read_text(encoding="utf-8")
TINY = {"network": {"hidden": [4]}, "stage": [{"epochs": 1}], "record": {"probe": 16, "train": 16}}


@pytest.mark.parametrize(
    ("name", "becomes", "says"), [
        ("sgd_of_rows", "w -= p.learning_rate * g", "it creates an array, as arithmetic with whole arrays does; allowed: "),
        ("sgd_of_rate", LOOP.replace("learning_rate", "rate"), "Unknown attribute 'rate' of type SGD"),
        ("sgd_of_none", LOOP.replace("g[j]", "scaled(g[j])"), "name 'scaled' is not defined"),
        ("sgd_of_text", LOOP.replace("g[j]", "'g'"), "No implementation of function Function(<built-in function mul>)"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("_afresh")
def test_an_optimiser_is_named_before_anything_is_learned(name, becomes, says, tmp_path):
    path = tmp_path / f"{name}.py"
    path.write_text(SGD.replace(LOOP, becomes), encoding="utf-8")
    line = path.read_text().splitlines().index("    @njit") + 1
    experiment = spec.experiment(models={"optimisers": [str(path)]}, optimiser={"name": name}, **TINY)
    with pytest.raises(ModelError) as caught:
        train.run(experiment, tmp_path / "run")
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: SGD.row cannot be compiled: ")
    assert says in message
    assert "\n" not in message
    assert len(message) < 500
    assert "updates.py" not in message


@pytest.fixture
def _afresh(monkeypatch):
    monkeypatch.setattr(registry, "_files", {})


@device
def adds_a_text(x):
    return x + "one"


def test_a_function_that_is_called_by_address_is_named():
    gives = by_address(types.float64(types.float64))
    with pytest.raises(
        ModelError, match=re.escape(__file__) + r", line \d+: adds_a_text cannot be compiled: No implementation"
    ):
        gives.address(adds_a_text)


def test_what_calls_no_function_from_outside_says_what_numba_says():
    @compiled()
    def adds(x):
        return x + "one"

    with pytest.raises(NumbaError, match="No implementation"):
        adds(1)
