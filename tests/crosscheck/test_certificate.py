"""The certificate holds for the local rule, and fails for rules that are wrong; on the command line as a user has it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from localdfa import handover, samples, spec, train
from localdfa.cli import main
from localdfa.errors import RunError, SpecError
from localdfa.orders import slope
from localdfa.rules.local import Local

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")

from localdfa.crosscheck import subject
from localdfa.crosscheck.certificate import certified, certify

SPEC = """
title = "small"
data = "digits"
seeds = [3, 4]
batch_size = 64
[network]
hidden = [24, 16]
[optimiser]
learning_rate = 2e-3
[[stage]]
epochs = 2
[certify]
epochs = [0, 1]
samples = 64
[[condition]]
name = "exact"
rule = "dfa"
[[condition]]
name = "rule"
[[condition]]
name = "wide"
network.hidden = [50]
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SPEC)
    return lambda *overrides: spec.load("small.toml", overrides)


def run(*arguments):
    return CliRunner().invoke(main, ["certify", *arguments])


def test_the_local_rule_is_certified_on_the_command_line(small, tmp_path):
    done = run("small.toml", "--out", "here")
    assert done.exit_code == 0, done.output
    assert "The certificate holds: all 23 tolerances." in done.output
    tables = done.output.splitlines()[1:-1]  # above stands what is certified, below where the certificate lies
    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in tables)
    found = json.loads((tmp_path / "here" / "certificate.json").read_text())
    assert (found["holds"], found["failed"], found["condition"], found["seed"]) == (True, [], "rule", 3)
    assert found["spec"]["precision"] == "float64"
    assert [each["epoch"] for each in found["checkpoints"]] == [each["epoch"] for each in found["trajectory"]] == [0, 1]
    first, second, output = found["checkpoints"][1]["layers"]
    for layer in (first, second):
        assert layer["one_sided"]["slope"] == pytest.approx(1, abs=0.02)
        assert layer["centered"]["slope"] == pytest.approx(2, abs=0.02)
        assert layer["local_bp"]["angle"] == pytest.approx(layer["exact_bp"]["angle"], abs=0.01)
    assert output["agreement"] < 1e-12
    for form in ("png", "svg"):
        assert (tmp_path / "here" / "figures" / f"certificate.{form}").stat().st_size > 10_000
    assert not list((tmp_path / "here").glob(".*"))


def test_live_propagation_is_not_certified(small):
    done = run("small.toml", "--set", "phases.propagation=live")
    assert done.exit_code == 1
    assert "The certificate fails: 4 of 23 tolerances do not hold." in done.output
    for words in ("epoch 1, layer 2: cosine to DFA, Numba", "epoch 1, layer 2: slope, centered", "at least 0.999999"):
        assert words in done.output
    assert "epoch 1, layer 1" not in done.output
    assert "epoch 0" not in done.output  # from zero weights nothing climbs yet


def test_the_membrane_s_derivative_in_place_of_the_rate_s_is_not_certified(small, monkeypatch):
    """Read Δa instead of Δh, and f' is lost. With W = 0 it is 1, so initialisation alone would not show it."""

    def hidden(self, l, free, moved, signal, change):
        np.negative(signal, out=change)  # ((a − β c) − a)/β
        return 0, None

    monkeypatch.setattr(Local, "hidden", hidden)
    found = certify(small())
    assert {f"epoch 1, layer {l}: {what}" for l in (1, 2) for what in ("cosine to DFA, Numba", "Numba against PyTorch")} <= set(
        found["failed"]
    )
    assert not any("PyTorch" in name and "cosine" in name for name in found["failed"])


def test_a_wrong_scale_is_not_certified(small, monkeypatch):
    """Twice the update has the cosine of DFA, and not its size."""
    right = Local.hidden

    def hidden(self, l, free, moved, signal, change):
        events = right(self, l, free, moved, signal, change)
        change *= 2
        return events

    monkeypatch.setattr(Local, "hidden", hidden)
    failed = certify(small("certify.epochs=[0]"))["failed"]
    assert not any("cosine" in name for name in failed)
    assert {"epoch 0, layer 1: slope, one_sided", "epoch 0, layer 1: Numba against PyTorch"} <= set(failed)


def test_dropout_and_convolutions_are_certified(small):
    maps = "[{channels=3, kernel=3, padding=1, pool=2}, {channels=4, kernel=2, padding=0, shared=false}, 12]"
    found = certify(
        small(
            f"network.hidden={maps}",
            "network.dropout=0.2",
            "network.input_dropout=0.1",
            "network.output=softmax",
            "phases.beta=0.01",
        )
    )
    assert found["failed"] == []
    assert len(found["checkpoints"][0]["layers"]) == 4
    assert max(found["trajectory"][-1]["weight_distance"]) < 1e-4  # O(β²); other masks would make it 0.1


@pytest.mark.parametrize("neuron", ["relu", "linear"])
def test_slopes_are_not_judged_where_there_is_none(small, neuron):
    found = certify(small(f"network.neuron={neuron}", "certify.epochs=[0]", "phases.beta=0.001", "certify.cosine=0.9999"))
    assert found["failed"] == []
    assert not any("slope" in row["name"] for row in found["rows"])


def test_a_run_is_certified_with_its_own_weights(small, tmp_path):
    trained = train.run(small("seeds=[3]"), tmp_path / "trained")
    done = run("trained", "--set", "certify.epochs=[0]")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "trained" / "certificate.json").read_text())
    assert [(each["epoch"], each["of"]) for each in found["checkpoints"]] == [(0, "training"), (2, "run")]
    assert found["trajectory"][0]["epoch"] == 0
    job = next(job for job in trained.jobs if job.condition == "rule")
    job.write("weights", {**job.weights, "W2": np.zeros((3, 3))})
    done = run("trained", "--set", "certify.epochs=[0]")
    assert done.exit_code == 1
    assert "weights.npz: does not fit this experiment" in done.output
    (job.folder / "weights.npz").unlink()
    with pytest.raises(RunError, match=r"weights\.npz: there is no such file"):
        certify(trained.experiment, run=trained)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["condition=[{name='a', rule='dfa'}]"], "no condition has rule = 'local'"),
        (["network.threshold=0.01"], "network.threshold: 0.01 leaves events out"),
        (["certify.betas=[0.1]"], "certify.betas"),
        (["certify.cosine=2"], "certify.cosine"),
    ],
)
def test_what_cannot_be_certified_is_one_message(small, overrides, words):
    done = run("small.toml", *(part for override in overrides for part in ("--set", override)))
    assert done.exit_code == 1
    assert words in done.output
    assert done.output.startswith("localdfa: ")


def test_without_pytorch_there_is_one_message(small, monkeypatch):
    monkeypatch.setattr("localdfa.cli.find_spec", lambda name: None)
    done = run("small.toml")
    assert done.exit_code == 1
    assert done.output == "localdfa: certify needs PyTorch, which is not installed: pip install 'localdfa[torch]'\n"


def test_the_experiment_that_is_certified():
    name, alone = certified(spec.load("mnist", ["data=digits", "certify.epochs=[0,2]"]))
    assert (name, alone.seeds, alone.precision, alone.stage[0].epochs) == ("local", [0], "float64", 2)
    assert (alone.data, alone.network.hidden, alone.network.weights) == ("digits", [800, 800], "zero")
    for bundled in ("quickstart", "cifar10"):
        certified(spec.load(bundled))
    with pytest.raises(SpecError, match="'lif' spikes"):
        certified(spec.load("digits-spiking"))


def test_what_only_other_conditions_read_does_not_keep_one_from_being_certified():
    """Phases that last are of the spiking condition; the one that is certified settles."""
    spiking = {"name": "spiking", "network": {"neuron": "lif"}}
    found = spec.experiment(phases={"free": 400.0, "nudged": 150.0, "beta": 0.5}, condition=[{"name": "rate"}, spiking])
    name, alone = certified(found)
    assert (name, alone.phases.beta, alone.phases.free) == ("rate", 0.5, 100.0)


def test_slopes_leave_out_rounding_and_what_is_not_small():
    betas = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    error = [b**2 + 3 * b**4 for b in betas]
    value, used = slope(betas, error, [1e-6] * 7)
    assert used == [2, 3, 4] or used == [2, 3]
    assert value == pytest.approx(2, abs=0.02)
    assert slope(betas, [1e-9] * 7, [1e-6] * 7) == (None, [])
    value, used = slope(betas, [0.7] * 7, [1e-6] * 7)
    assert (round(value, 9), used) == (0, [0, 1, 2])


@pytest.mark.parametrize(
    ("pathway", "exact", "trained"),
    [
        ("kolen_pollack", "fa", True),
        ("direct_kolen_pollack", "dfa", True),
        ("low_rank", "dfa", True),
        ("sign_symmetric_redrawn", "fa", False),
    ],
)
def test_a_certificate_is_of_the_exact_rule_with_the_same_pathway(small, pathway, exact, trained):
    """Of a pathway that draws numbers the core alone is trained: what it teaches on the way is judged, not the trajectory."""
    found = certify(
        small(
            f"feedback.pathway={pathway}", "optimiser.name=sgd", "optimiser.weight_decay=0.01", "network.weights=uniform",
            "optimiser.learning_rate=1e-3", 'condition=[{name="one", rule="local"}]',
        )
    )  # fmt: skip
    assert found["holds"], found["failed"]
    assert (found["exact"], found["pathway"]) == (exact, pathway)
    assert bool(found["trajectory"]) == trained
    assert any(row["name"].endswith(f"cosine to {exact.upper()}, PyTorch") for row in found["rows"])


@pytest.mark.parametrize(
    ("pathway", "normalisation"), [("kolen_pollack", "none"), ("sign_symmetric_redrawn", "strict"), ("weight_mirror", "none")]
)
def test_a_run_is_certified_with_the_feedback_that_it_ended_with(small, tmp_path, pathway, normalisation):
    experiment = small(
        f"feedback.pathway={pathway}", f"feedback.normalisation={normalisation}", "optimiser.weight_decay=1e-3",
        "network.weights=uniform", "network.batch_norm=true", 'condition=[{name="one", rule="local"}]', "seeds=[3]",
        "certify.epochs=[0]", "phases.beta=0.01",
    )  # fmt: skip
    run = train.run(experiment, tmp_path / "run", progress=False)
    found = certify(experiment, run=run)
    assert found["holds"], found["failed"]
    assert [checkpoint["of"] for checkpoint in found["checkpoints"]] == ["training", "run"]


@pytest.mark.parametrize("pathway", ["direct", "kolen_pollack", "low_rank", "sign_symmetric_fixed"])
def test_the_network_of_a_run_has_the_feedback_that_it_ended_with(small, tmp_path, pathway):
    """Whether B changes or came from another run, where it was drawn larger; of factors it is their product."""
    common = (
        f"feedback.pathway={pathway}", "optimiser.weight_decay=1e-3", "network.weights=uniform", "seeds=[3]",
        "stage=[{epochs=1}]", 'condition=[{name="one", rule="local"}]',
    )  # fmt: skip
    source = train.run(small(*common, "feedback.gain=3.0"), tmp_path / "source", progress=False)
    started = small(*common, "network.weights=auto", f"network.from_run={source.folder / 'one'}")
    run = train.run(started, tmp_path / "run", progress=False)
    name, alone = certified(run.experiment)
    (setting,) = spec.settings(alone).values()
    network, epoch = subject.trained(run, name, setting, samples.parts(samples.load_samples(alone), setting)["train"])
    assert epoch == 1
    for l, matrix in enumerate(network.feedback):
        np.testing.assert_array_equal(matrix, run.jobs[0].weights[f"B{l + 1}"])
        assert np.abs(matrix).max() > 2 / np.sqrt(len(matrix))  # as the source has drawn it, not with a gain of 1


def test_a_run_that_ended_with_another_pathway_has_the_feedback_of_its_beginning(small, tmp_path):
    """Where that does not change; where it does, what became of it is not kept."""
    common = (
        'condition=[{name="one", rule="local"}]', "seeds=[3]", "network.weights=uniform", "optimiser.weight_decay=1e-3",
        "stage=[{epochs=1}, {epochs=1, rule='bp'}]",
    )  # fmt: skip
    found = []
    for pathway in ("direct", "kolen_pollack"):
        run = train.run(small(*common, f"feedback.pathway={pathway}"), tmp_path / pathway, progress=False)
        _, alone = certified(run.experiment)
        (setting,) = spec.settings(alone).values()
        found.append((run, "one", setting, samples.parts(samples.load_samples(alone), setting)["train"]))
    fixed, changing = found
    network, epoch = subject.trained(*fixed)
    assert epoch == 2
    np.testing.assert_array_equal(network.W(0), fixed[0].jobs[0].weights["W1"])
    np.testing.assert_array_equal(network.feedback[0], handover.begin(fixed[2], (1, 8, 8), 10, 3).feedback[0])
    with pytest.raises(RunError, match=r"has no B of feedback\.pathway 'kolen_pollack', but of 'transpose'"):
        subject.trained(*changing)
