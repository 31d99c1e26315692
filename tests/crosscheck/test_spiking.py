"""The certificates of spiking neurons hold for what is right, fail for what is wrong; on the command line as a user has it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from localdfa import analysis, samples, spec, train
from localdfa.cli import main
from localdfa.core.spiking import batch as spikes
from localdfa.crosscheck import noise, spiking, subject
from localdfa.errors import RunError, SpecError

SPEC = """
title = "small"
data = "digits"
seeds = [5, 4]
[network]
hidden = [24]
neuron = "lif"
[trace]
tau_x = 10.0
tau_z = 10.0
[phases]
beta = 2.0
free = 100.0
nudged = 50.0
nudging = "one_sided"
propagation = "two_compartment"
[certify]
trials = 1
steps = [0.1, 0.05, 0.025]
samples = 256
windows = [25.0, 50.0]
nudges = [1.0, 3.0]
batches = [16, 256]
[[condition]]
name = "exact"
rule = "dfa"
[[condition]]
name = "rule"
"""
RATE = """
data = "digits"
[network]
hidden = [24, 16]
[trace]
tau_x = 10.0
tau_z = 10.0
[certify]
samples = 64
windows = [50.0]
nudges = [3.0]
batches = [16, 64]
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SPEC)
    (tmp_path / "rate.toml").write_text(RATE)
    return lambda *overrides: spec.load("small.toml", overrides)


def run(*arguments):
    return CliRunner().invoke(main, ["certify", *arguments])


def written(folder):
    for form in ("png", "svg"):
        assert (folder / "figures" / f"certificate.{form}").stat().st_size > 10_000
    return json.loads((folder / "certificate.json").read_text())


# --- against Brian2 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def brian2():
    return pytest.importorskip("brian2", reason="Brian2 is not installed: pip install 'localdfa[brian2]'")


def test_a_spiking_network_is_certified_on_the_command_line(small, tmp_path, brian2):
    before = brian2.prefs.codegen.target
    done = run("small.toml", "--out", "here")
    assert done.exit_code == 0, done.output
    assert brian2.prefs.codegen.target == before
    assert "The certificate holds" in done.output
    lines = done.output.splitlines()
    tables = [line for line in lines if not line.startswith(("Event by event", "Update from", "certificate:"))]
    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in lines)
    found = written(tmp_path / "here")
    assert (found["kind"], found["condition"], found["seed"], found["spec"]["precision"]) == ("spiking", "rule", 5, "float64")
    steps = found["brian2"]["steps"]
    assert [row["step"] for row in steps] == [0.1, 0.05, 0.025]
    assert [row["mean"] for row in steps] == sorted((row["mean"] for row in steps), reverse=True)
    assert set(steps[0]["changes"]) == {"∫x dz, inputs to layer 1", "∫x dz, layer 1 to output"}
    assert found["brian2"]["order"]["spike_time"] == pytest.approx(1, abs=0.2)
    at = found["dfa"]["best"]
    assert f"nudges of {at['window']:g} ms, β = {at['beta']:g}, {at['batch']} samples" in done.output
    assert at["cosine"][0] > 0.95


@pytest.mark.parametrize(
    "wrong",
    [{}, {"trace": {"tau_z": 11.0}}, {"neuron": {"tau_m": 10.2}}],
    ids=["right", "trace", "membrane"],
)
def test_another_model_in_brian2_is_not_certified(small, monkeypatch, brian2, wrong):
    """Where a time constant differs a little, the difference stays, while that of a clock vanishes."""
    from localdfa.crosscheck import brian

    right = brian.simulate

    def simulate(net, setting, *given):
        tables = setting.model_dump(exclude_unset=True)
        tables["trace"] |= wrong.get("trace", {})
        changed = replace(net, neuron=net.neuron._replace(**wrong.get("neuron", {})))
        return right(changed, type(setting).model_validate(tables), *given)

    monkeypatch.setattr(brian, "simulate", simulate)
    failed = spiking.certify(small("certify.nudges=[3.0]"))["failed"]
    assert any("Brian2" in name for name in failed) == bool(wrong), failed


def test_without_brian2_there_is_one_message(small, monkeypatch):
    monkeypatch.setattr("localdfa.cli.find_spec", lambda name: None)
    done = run("small.toml")
    assert done.exit_code == 1
    expected = "certify of spiking neurons needs Brian2, which is not installed: pip install 'localdfa[brian2]'"
    assert done.output == f"localdfa: {expected}\n"


def test_what_is_not_dense_layers_is_compared_with_brian2_alone(small, tmp_path, brian2):
    loop = "[{pre=1, post=1, connect='sparse', probability=0.2, weights='uniform', scale=0.5}]"
    changes = ["condition=[]", f"network.projection={loop}", "certify.steps=[0.4,0.2,0.1]"]
    done = run("small.toml", *(part for change in changes for part in ("--set", change)), "--out", "here")
    assert "Not compared with exact DFA. network.projection: exact DFA is that of dense layers" in done.output
    found = written(tmp_path / "here")
    assert "dfa" not in found
    assert "∫x dz, layer 1 to layer 1" in found["brian2"]["steps"][0]["changes"]


def test_what_brian2_has_not_is_one_message(small, brian2):
    done = run("small.toml", "--set", "condition=[]", "--set", "feedback.signal=continuous")
    assert done.exit_code == 1
    assert done.output == "localdfa: feedback.signal: 'continuous' is not built in Brian2; allowed here: 'constant'\n"


def test_a_run_is_certified_with_its_own_weights(small, tmp_path, brian2):
    changes = ["condition=[]", "stage=[{epochs=1}]", "precision=float64", "certify.steps=[0.4,0.2,0.1]"]
    trained = train.run(small(*changes), tmp_path / "trained")
    run("trained")
    found = written(tmp_path / "trained")
    assert found["epoch"] == 1
    first = spiking.certify(trained.experiment, "lif")
    assert found["dfa"]["best"]["cosine"] != first["dfa"]["best"]["cosine"]
    job = trained.jobs[0]
    job.write("weights", {**job.weights, "W2": np.zeros((3, 3))})
    done = run("trained")
    assert done.exit_code == 1
    assert "weights.npz: does not fit this experiment" in done.output
    assert run("trained", "--neurons", "lif").output.endswith("a run has its neurons; allowed with a spec\n")


@given(st.lists(st.floats(0, 50), max_size=8, unique=True), st.lists(st.floats(0, 50), max_size=8, unique=True))
def test_matched_spikes_are_the_cheapest_alignment(a, b):
    """Against a search through all alignments."""
    pytest.importorskip("brian2")
    from localdfa.crosscheck import clock

    a, b = np.sort(np.array(a, float)), np.sort(np.array(b, float))

    def least(i, j):
        if i == len(a) or j == len(b):
            return 0.5 * (len(a) - i + len(b) - j)
        return min(least(i + 1, j + 1) + abs(a[i] - b[j]) / 10, least(i + 1, j) + 0.5, least(i, j + 1) + 0.5)

    found = clock.matched(a, b, 10.0)
    cost = np.abs(found).sum() / 10 + 0.5 * (len(a) + len(b) - 2 * len(found))
    assert cost == pytest.approx(least(0, 0) if len(a) + len(b) <= 12 else cost)
    assert (np.abs(found) <= 10 + 1e-9).all()


# --- against exact DFA ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.004, 0.03, 0.1, 0.4])
def test_the_ripple_is_the_variance_of_a_periodic_train_s_trace(rate):
    """Spikes summed one by one, read at random phases."""
    tau, rng = 12.0, np.random.default_rng(0)
    since = rng.random(40_000) / rate
    ago = since[:, None] + np.arange(int(30 * tau * rate) + 2) / rate
    trace = np.exp(-ago / tau).sum(axis=1)
    assert trace.mean() == pytest.approx(tau * rate, rel=0.03)
    assert trace.var() == pytest.approx(noise.ripple(np.array(rate), tau), rel=0.03)


def test_a_silent_neuron_has_no_ripple_and_a_fast_one_that_of_an_even_jump():
    assert noise.ripple(np.array([0.0, 50.0]), 40.0) == pytest.approx([0, 1 / 12], abs=1e-4)


def test_a_certificate_is_of_the_network_that_starts_from_a_run(small, tmp_path):
    """The weights of that run, which has to be there."""
    changes = ["condition=[]", "precision=float64", "certify.nudges=[3.0]", "certify.windows=[50.0]", "certify.batches=[256]"]
    with pytest.raises(RunError, match=r"network\.from_run: .*nowhere/at/all.*not a run directory"):
        spiking.certify(small(*changes, f"network.from_run={tmp_path / 'nowhere/at/all'}"), "lif")
    source = train.run(small(*changes, "stage=[{epochs=1}]"), tmp_path / "source", progress=False)
    found = spiking.certify(small(*changes, f"network.from_run={source.folder / 'local'}"), "lif")
    of_run = spiking.certify(source.experiment, "lif", run=source)
    of_first = spiking.certify(small(*changes), "lif")
    assert found["dfa"]["settings"] == of_run["dfa"]["settings"] != of_first["dfa"]["settings"]
    assert (found["epoch"], of_run["epoch"]) == (0, 1)


def test_a_run_with_further_projections_is_certified_with_its_weights(small, tmp_path):
    loop = "[{pre=1, post=1, connect='sparse', probability=0.2, weights='uniform', scale=0.5}]"
    experiment = small("condition=[]", f"network.projection={loop}", "stage=[{epochs=1}]", "seeds=[5]")
    run = train.run(experiment, tmp_path / "run", progress=False)
    _, alone = spiking.certified(experiment)
    (setting,) = spec.settings(alone).values()
    part = samples.parts(samples.load_samples(alone), setting)["train"]
    network, epoch = subject.trained(run, "local", setting, part)
    kept = run.jobs[0].weights
    assert epoch == 1
    assert network.dtype == np.float64
    for name in ("W1", "b1", "W2", "b2"):
        mine = (network.W if name[0] == "W" else network.b)(int(name[1]) - 1)
        np.testing.assert_array_equal(mine, kept[name])
    np.testing.assert_array_equal(network.weights[2][0], kept["W1to1"])
    np.testing.assert_array_equal(network.feedback[0], kept["B1"])


def test_rate_neurons_are_replaced_by_spiking_ones(small, tmp_path):
    done = run("rate.toml", "--neurons", "lif", "--out", "here")
    assert done.exit_code in (0, 1)
    found = written(tmp_path / "here")
    assert "brian2" not in found
    phases = found["spec"]["phases"]
    assert (found["spec"]["network"]["neuron"], phases["free"], phases["nudged"]) == ("lif", 102.0, 50.0)
    entries = found["dfa"]["settings"]
    assert [(e["window"], e["beta"], e["batch"], e["updates"]) for e in entries] == [(50, 3, 16, 4), (50, 3, 64, 1)]
    for entry in entries:
        assert len(entry["cosine"]) == 2
        assert entry["cosine"][0] == pytest.approx(entry["theory"][0], abs=0.05)
    assert entries[1]["cosine"][0] > entries[0]["cosine"][0]


@pytest.mark.parametrize("nudging", ["centered", "one_sided"])
def test_theory_says_how_much_noise_a_small_nudge_has(small, nudging):
    found = spiking.certify(
        small(
            "certify.nudges=[0.2]",
            "certify.windows=[60.0]",
            "certify.batches=[16,128]",
            "certify.samples=512",
            f"phases.nudging={nudging}",
        ),
        "lif",
    )
    small_batch, large_batch = found["dfa"]["settings"]
    assert 0.2 < small_batch["cosine"][0] < 0.5 < large_batch["cosine"][0] < 0.8
    for entry in (small_batch, large_batch):
        assert entry["cosine"] == pytest.approx(entry["theory"], abs=0.05)


def test_an_update_of_the_wrong_sign_is_not_certified(small, monkeypatch):
    right = spikes.simulate

    def simulate(*given):
        trial = right(*given)
        trial.change[0] *= -1
        return trial

    monkeypatch.setattr(spikes, "simulate", simulate)
    failed = spiking.certify(small(), "lif")["failed"]
    assert any(name.startswith("layer 1: cosine to DFA") for name in failed)
    assert "layer 1: cosine against theory, largest difference" in failed


def test_live_propagation_is_not_dfa(small, tmp_path):
    live = [part for key in ("phases.propagation=live", "certify.nudges=[2.0]") for part in ("--set", key)]
    done = run("rate.toml", "--neurons", "lif", *live)
    assert done.exit_code == 1
    assert "layer 2: cosine to DFA" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["small.toml", "--neurons", "lif", "--set", "input.code=poisson", "--set", "network.output=spikes"], "network.output"),
        (["rate.toml", "--neurons", "lif", "--set", "network.hidden=[{channels=2}]"], "convolutions work in settled mode only"),
        (["rate.toml", "--neurons", "lif", "--set", "certify.batches=[128]"], "certify.batches: [128]"),
        (["rate.toml", "--neurons", "lif", "--set", "feedback.pathway=sequential"], "does not lead to DFA"),
    ],
)
def test_what_cannot_be_certified_is_one_message(small, arguments, words):
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.output.startswith("localdfa: ")
    assert words in done.output


def test_theory_is_judged_where_drives_and_thresholds_are_constant(small):
    own, adapting = (next(iter(spec.settings(spiking.certified(small(), name)[1]).values())) for name in ("lif", "alif"))
    assert (noise.constant_layers(own), noise.constant_layers(adapting)) == (1, 0)
    assert adapting.network.neuron == "alif"
    entry = {"window": 50.0, "beta": 1.0, "batch": 16, "cosine": [0.96, 0.99], "theory": [0.5, 0.5]}
    for constant, failed in ((0, []), (1, ["layer 1: cosine against theory, largest difference"])):
        assert [row["name"] for row in noise.judge([entry], constant, small().certify) if not row["holds"]] == failed


def test_the_neurons_that_are_there_stay_as_they_are(small):
    assert spiking.certified(small(), "lif") == spiking.certified(small())
    with pytest.raises(SpecError, match="direct"):
        spiking.certified(small("feedback.pathway=indirect"))


def test_no_report_of_a_run_asks_for_a_certificate():
    assert not any("certificate" in name for name in analysis.names())
