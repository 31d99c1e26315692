"""Recorders: what is written is what is read, the same again, and recording changes nothing."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from localdfa import registry, spec, toml
from localdfa.conformance._subjects import SPIKING, of, trainer_of
from localdfa.errors import RunError
from localdfa.record import Job
from localdfa.recorders._recorder import Scope

NAMES = of("recorders")
RATE = {"network": {"hidden": [6, 5], "weights": "uniform"}}


def case(name, folder):
    """A network that has what the recorder keeps, and the table that asks for it by its example."""
    model = registry.get("recorders", name)
    asked = {name: toml.loads(f"value = {model.example}")["value"]} if model.example else {}
    trainer = trainer_of(folder, **(SPIKING if model.of_spikes else RATE), record={"probe": 8, **asked})
    tables = {**(SPIKING if model.of_spikes else RATE), "record": {"probe": 8, **asked}}
    keep = spec.experiment(tables).record
    assert name in keep.asked
    return model, trainer, keep


@pytest.mark.parametrize("name", NAMES)
def test_its_keys_are_described_and_keep_nothing_unasked(name):
    """One without a key, or whose key is set by default, is kept of every run."""
    model, keep = registry.get("recorders", name), spec.experiment().record
    assert registry.describe("recorders", name)
    assert not model.keys or name in model.keys
    for _, field in model.keys.values():
        assert field.description
    if model.example:
        assert name not in keep.asked
        assert name in model.keys


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_what_is_read_and_damage_is_refused(name, tmp_path):
    model, trainer, keep = case(name, tmp_path)
    before = [w.copy() for w in trainer.network.weights]
    found, again = model.record(trainer.trained, keep), model.record(trainer.trained, keep)
    assert found
    job = Job(tmp_path, "local", 0)
    job.write(name, found)
    read = getattr(job, name)
    assert read.keys() == found.keys() == again.keys()
    for key, array in found.items():
        array = np.asarray(array)
        assert array.dtype.kind in "biufU", f"{key} has the dtype {array.dtype}"
        assert read[key].dtype == array.dtype
        assert_array_equal(read[key], array)
        assert_array_equal(again[key], array)
    for w, old in zip(trainer.network.weights, before, strict=True):
        assert_array_equal(w, old)
    path = tmp_path / f"{name}.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=name):
        job.load(name)
    path.write_bytes(whole)
    path.rename(tmp_path / "another.npz")
    with pytest.raises(RunError, match=f"holds '{name}', not 'another'"):
        job.load("another")


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_memory_it_needs(name, tmp_path):
    model, trainer, keep = case(name, tmp_path)
    scope = Scope(trainer.setting, trainer.network.sizes, 24, trainer.trained.edges)
    held = sum(np.asarray(array).nbytes for array in model.record(trainer.trained, keep).values())
    need = model.need(keep, scope)
    assert 0 <= need < np.inf
    # What is asked for by number is to be estimated, to within what is unknown before: how much there will be of it.
    assert not model.example or need > 0.1 * held
    assert isinstance(model.each_epoch(keep), bool)
    assert model.refusal(keep, trainer.setting) is None
    assert set(model.populations(keep, scope)) <= set(trainer.network.sizes)
