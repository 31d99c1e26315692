"""The two-neuron experiment: the STDP window as a run records it, against the closed form; weight changes trial by trial."""

import numpy as np
import pytest

from localdfa import data, record, spec, train
from localdfa.analysis import pairs
from localdfa.analysis.window import pair
from localdfa.errors import RunError
from localdfa.spec.tables import Trace


def test_the_measured_window_is_that_of_the_rule(pairs_run):
    """∫ x dz of one pair, at all lags; x decays with τ_x from the arrival, z with τ_z from the postsynaptic spike."""
    (job,) = pairs_run.jobs
    setting = pairs_run.settings["local"]
    tau_x, tau_z = setting.trace.tau_x, setting.trace.tau_z
    assert tau_x != tau_z
    found = pairs.measured(job, setting)
    assert len(found.lag) == 2 * 160
    expected = [
        tau_z / (tau_x + tau_z) * np.exp(-lag / tau_x) if lag > 0 else -tau_x / (tau_x + tau_z) * np.exp(lag / tau_z)
        for lag in found.lag
    ]
    np.testing.assert_allclose(found.change, expected, rtol=0, atol=1e-9)
    given = np.diff(data.load("pairs").x_train.time.reshape(160, 2))
    assert np.abs(given).max() == 198.75
    lags = np.sort([sign * lag - 1 for sign in (1, -1) for lag in (np.arange(160) - 79.5) * 2.5])
    np.testing.assert_allclose(found.lag, lags, atol=1e-9)


def test_both_areas_are_equal_and_of_the_size_that_the_rule_gives_them(pairs_run):
    (job,), setting = pairs_run.jobs, pairs_run.settings["local"]
    found = pairs.measured(job, setting)
    expected = setting.trace.tau_x * setting.trace.tau_z / (setting.trace.tau_x + setting.trace.tau_z)
    assert pairs.area(found, 1) == pytest.approx(expected, rel=1e-6)
    assert pairs.area(found, -1) == pytest.approx(-pairs.area(found, 1), rel=1e-6)
    assert np.isnan(pairs.area(pairs.Pairs(np.array([1.0, 2, 3]), np.array([0.5, 0.6, 0.1])), 1))


@pytest.mark.parametrize("changes", [["phases.free=460"], ["phases.gate=460", "phases.nudged=460"]], ids=str)
def test_what_other_spikes_or_the_end_of_the_gate_bring_is_not_drawn(changes, tmp_path):
    """Neuron 1 spikes last 11 ms before the gate opens, or closes: its traces enter, and such points lie off the line."""
    run = train.run(spec.load("stdp-pair", changes), tmp_path / "run", progress=False)
    (job,), setting = run.jobs, run.settings["local"]
    found, tau_x, tau_z = pairs.measured(job, setting), setting.trace.tau_x, setting.trace.tau_z
    assert 50 < len(found.lag) < 2 * 160
    np.testing.assert_allclose(found.change, pair(found.lag, tau_x, tau_z), rtol=0, atol=np.exp(-8))


def test_trials_whose_neurons_have_spiked_shortly_before_the_gate_opens_are_no_pairs(tmp_path):
    """Neuron 0 does so in each trial: a quarter of the trace of a spike 32 ms before is left when neuron 1 first spikes."""
    changes = ["trace.tau_x=60", "trace.tau_z=60", "phases.free=480"]
    run = train.run(spec.load("stdp-pair", changes), tmp_path / "run", progress=False)
    with pytest.raises(RunError, match="neither for 8 time constants of its trace before"):
        pairs.figure(run)


def test_the_drawn_curve_has_equal_areas():
    lag = (np.arange(2_000_000) + 0.5) * 1e-3
    for tau_x, tau_z in ((10.0, 40.0), (40.0, 10.0)):
        trace = Trace(tau_x=tau_x, tau_z=tau_z)
        areas = [pair(side * lag, trace.tau_x, trace.tau_z).sum() * 1e-3 for side in (1, -1)]
        np.testing.assert_allclose(areas, [8, -8], rtol=1e-5)


def test_points_and_curve_are_drawn(pairs_run):
    (axes,) = pairs.figure(pairs_run).axes
    after, points = (np.array(line.get_data()) for line in axes.lines[:2])
    assert (after[0] > 0).all()
    np.testing.assert_allclose(np.interp(points[0], *after), points[1], atol=2e-3)


def test_runs_without_pairs_say_what_is_missing(rate_run, spiking_run, pairs_run, tmp_path):
    with pytest.raises(RunError, match="keeps no spikes, which the figure pairs needs"):
        pairs.figure(rate_run)
    with pytest.raises(RunError, match=r"keeps no changes, which the figure pairs needs; run it again .* record.changes=4"):
        pairs.figure(spiking_run)
    (job,) = pairs_run.jobs
    again = record.create(tmp_path / "run", pairs_run.experiment)
    again.jobs[0].write("spikes", job.spikes)
    again.jobs[0].write("changes", {**job.changes, "trial": job.changes["trial"] + 1000})
    with pytest.raises(RunError, match=r"keeps no trial in which two neurons .* localdfa run stdp-pair has them"):
        pairs.figure(again)
    centered = record.create(tmp_path / "centered", spec.load("stdp-pair", ["phases.nudging=centered"]))
    centered.jobs[0].write("spikes", job.spikes)
    centered.jobs[0].write("changes", job.changes)
    with pytest.raises(RunError, match=r"needs phases.nudging = 'one_sided'"):
        pairs.figure(centered)


def test_changes_of_a_rate_network_are_those_of_its_rule(tmp_path):
    """Δz x of exact DFA by hand, sample by sample, of the neurons asked for."""
    tables = spec.experiment(
        rule="dfa", precision="float64", network={"hidden": [6]}, stage=[{"epochs": 1}],
        record={"probe": 16, "changes": 4, "neurons": [5, 1, 40]},
    )  # fmt: skip
    (job,) = train.run(tables, tmp_path / "run").jobs
    kept, w = job.changes, job.weights
    digits = data.load("digits", dtype=np.float64)
    assert kept["trial"].shape == (4,)
    for row, sample in enumerate(kept["trial"]):
        x, y = digits.x_train[sample], np.eye(10)[digits.y_train[sample]]
        h = np.tanh(w["W1"] @ x + w["b1"])
        e = 1 / (1 + np.exp(-(w["W2"] @ h + w["b2"]))) - y
        np.testing.assert_allclose(kept["dW1"][row], -np.outer((w["B1"] @ e) * (1 - h**2), x)[np.ix_([5, 1], [5, 1, 40])])
        np.testing.assert_allclose(kept["dW2"][row], -np.outer(e, h)[np.ix_([5, 1], [5, 1])], rtol=1e-6)
    np.testing.assert_array_equal(kept["post1"], [5, 1])
    np.testing.assert_array_equal(kept["pre1"], [5, 1, 40])
