"""Spikes as files of NWB: valid, and the same ones when they are read again."""

import numpy as np
import pytest

import localdfa
from localdfa.errors import RunError
from localdfa.interchange import nwb

pynwb = pytest.importorskip("pynwb")


def test_spikes_of_a_circuit_come_back(tmp_path):
    net = localdfa.Circuit(seed=1, precision="float64")
    net.population("exc", 20, tau_m=10.0)
    net.population("silent", 3)
    net.current("exc", np.linspace(0.5, 2, 20))
    result = net.run(100.0)
    (path,) = nwb.of_result(result, tmp_path / "spikes.nwb", net.to_toml())
    assert not pynwb.validate(path=str(path))
    units, (times, who) = nwb.read(path), result.spikes("exc")
    assert [(unit.columns["population"], unit.columns["neuron"]) for unit in units] == [
        *(("exc", i) for i in range(20)), *(("silent", i) for i in range(3))
    ]  # fmt: skip
    assert len(times) > 20
    for i, unit in enumerate(units):
        np.testing.assert_allclose(unit.times, times[who == i] if i < 20 else [], rtol=1e-14)
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        assert file.read().session_description == net.to_toml()


def test_spikes_of_a_run_come_back(spiking_run, tmp_path):
    (path,) = spiking_run.export("nwb", tmp_path / "spikes.nwb", "local")
    assert not pynwb.validate(path=str(path))
    kept, units = spiking_run.jobs[0].spikes, nwb.read(path)
    assert sum(len(unit.times) for unit in units) == len(kept["time"]) > 0
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        session = file.read()
        trials = session.trials.to_dataframe()
        assert session.session_description.endswith((spiking_run.folder / "spec.toml").read_text())
    assert trials["sample"].tolist() == kept["trials"].tolist()
    assert [unit.columns["population"] for unit in units].count("hidden layer 1") in (12, 24)
    for unit in units:
        own = (kept["population"] == int(unit.columns["population"][-1])) & (kept["neuron"] == unit.columns["neuron"])
        own &= kept["twin"] == (unit.columns["compartment"] == "twin")
        for _, trial in trials.iterrows():
            begin, end = 1e3 * trial.start_time, 1e3 * trial.stop_time
            ours = np.sort(kept["time"][own & (kept["trial"] == trial["sample"])]) - kept["edges"][0]
            theirs = unit.times[(unit.times >= begin) & (unit.times <= end)] - begin
            np.testing.assert_allclose(theirs, ours, atol=1e-9)


def test_what_has_no_spikes_is_refused(rate_run, tmp_path):
    with pytest.raises(RunError, match="condition 'bp' keeps no spikes"):
        rate_run.export("nwb", tmp_path / "x.nwb", "bp")
    net = localdfa.Circuit()
    net.population("exc", 2)
    with pytest.raises(RunError, match="no spikes were recorded"):
        nwb.of_result(net.run(1.0, record={}), tmp_path / "x.nwb")
    (tmp_path / "x.nwb").write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        nwb.read(tmp_path / "x.nwb")
