"""Training that starts from weights of a script."""

import numpy as np
import pytest
from click.testing import CliRunner

import localdfa
from localdfa.cli import main
from localdfa.errors import RunError, SpecError

TINY = {
    "network": {"hidden": [8, 6]}, "stage": [{"epochs": 2}], "record": {"probe": 16}, "batch_size": 128,
    "optimiser": {"learning_rate": 0.01},
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return localdfa.run(TINY, tmp_path_factory.mktemp("first") / "run", progress=False)


@pytest.fixture
def weights(first):
    return dict(first.jobs[0].weights)


def test_training_goes_on_as_from_the_run_that_has_these_weights(first, weights, tmp_path):
    from_run = localdfa.run(
        {**TINY, "network": {"hidden": [8, 6], "from_run": str(first.folder / "local")}}, tmp_path / "a", progress=False
    )
    given = localdfa.run(TINY, tmp_path / "b", weights=weights, progress=False)
    assert given.experiment.network.weights == "given"
    for name, array in from_run.jobs[0].weights.items():
        np.testing.assert_array_equal(array, given.jobs[0].weights[name])
    assert given.metrics[0]["test_error"] == first.metrics[-1]["test_error"]
    for name, array in given.start.items():
        np.testing.assert_array_equal(array, weights[name])
    assert first.start is None
    np.testing.assert_array_equal(given.predict(np.ones((2, 64)), outputs=True).argmax(axis=1), given.predict(np.ones((2, 64))))


def test_b_is_drawn_where_it_is_not_given(weights, tmp_path):
    forward = {name: array for name, array in weights.items() if name[0] != "B"}
    plain = localdfa.run({**TINY, "seeds": [5]}, tmp_path / "plain", progress=False)
    run = localdfa.run({**TINY, "seeds": [5]}, tmp_path / "run", weights=forward, progress=False)
    np.testing.assert_array_equal(run.jobs[0].weights["B1"], plain.jobs[0].weights["B1"])
    shifted = {**weights, "B1": weights["B1"] + 1}
    run = localdfa.run({**TINY, "seeds": [5]}, tmp_path / "shifted", weights=shifted, progress=False)
    np.testing.assert_array_equal(run.jobs[0].weights["B1"], shifted["B1"])


def test_b_of_hidden_layers_is_drawn_where_that_of_the_inputs_alone_is_given(tmp_path):
    tables = {**TINY, "adversarial": {"strength": 0.1, "gradient": "feedback"}}
    drawn = localdfa.run(tables, tmp_path / "drawn", progress=False).jobs[0].weights
    given = {name: array for name, array in drawn.items() if name[0] != "B"} | {"B0": drawn["B0"] + 1}
    found = localdfa.run(tables, tmp_path / "given", weights=given, progress=False).jobs[0].weights
    for name, array in (("B0", given["B0"]), ("B1", drawn["B1"]), ("B2", drawn["B2"])):
        np.testing.assert_array_equal(found[name], array)


def test_a_run_keeps_them_to_be_resumed(weights, tmp_path):
    conditions = [{"name": "a"}, {"name": "b", "rule": "bp"}, {"name": "c", "network": {"weights": "uniform"}}]
    tables = {**TINY, "condition": conditions}
    whole = localdfa.run(tables, tmp_path / "whole", weights=weights, progress=False)
    with pytest.raises(ZeroDivisionError):
        localdfa.run(tables, tmp_path / "run", weights=weights, progress=False, callback=lambda row: 1 / 0)
    run = localdfa.resume(tmp_path / "run", progress=False)
    for ours, theirs in zip(run.jobs, whole.jobs, strict=True):
        np.testing.assert_array_equal(ours.weights["W1"], theirs.weights["W1"])
    errors = [job.metrics[0]["test_error"] for job in run.jobs]
    assert errors[0] == errors[1] != errors[2]
    start = tmp_path / "run" / "start.npz"
    np.savez(start, W1=np.zeros(3))
    with pytest.raises(RunError, match=r"start\.npz"):
        localdfa.resume(tmp_path / "run", progress=False)
    localdfa.run(TINY, tmp_path / "whole", force=True, progress=False)
    assert not (tmp_path / "whole" / "start.npz").exists()


def test_weights_that_do_not_fit_are_refused_before_anything_is_made(first, weights, tmp_path):
    for wrong, words in (
        ({**weights, "W1": weights["W1"][:3]}, r"weights: W1 is float32 of shape \(3, 64\); .* of shape \(8, 64\)"),
        ({"W1": weights["W1"]}, "weights: b1 is missing"),
        ({**weights, "": weights["W1"]}, r"weights: '' is nothing that this network takes over; allowed: W1, b1, "),
        ({"": weights["W1"]}, r"weights: '' is nothing that this network takes over; allowed: W1, b1, "),
        ({**weights, "W4": weights["W1"]}, "weights: W4 is of a projection that this network does not have"),
        ({**weights, "W1": "no"}, "weights: W1 is <U2; allowed: numbers"),
        ([1], r"weights: \[1\]; allowed: a dict of arrays"),
    ):
        with pytest.raises(SpecError, match=words):
            localdfa.run(TINY, tmp_path / "run", weights=wrong, progress=False)
    with pytest.raises(SpecError, match=r"'given' is of those of a script, and network.from_run has its own"):
        localdfa.experiment({**TINY, "network": {"weights": "given", "from_run": str(first.folder / "local")}})
    with pytest.raises(SpecError, match="no condition starts from them"):
        localdfa.run({**TINY, "condition": [{"name": "a", "network": {"weights": "zero"}}]}, tmp_path / "run", weights=weights)
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine.toml").write_text('network.weights = "given"\n')
    done = CliRunner().invoke(main, ["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "localdfa.run(..., weights={" in done.output
