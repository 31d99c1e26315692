"""Runs of modules on graphs, fields, views and text of one's own, from the file of the data to the report."""

import sys

import numpy as np
import pytest
import torch

import localdfa
from localdfa import jobs, module_trainer, registry, samples, spec, train
from localdfa.analysis import confusion, report, tsne
from localdfa.errors import DataError, RunError, SpecError

FIELDS = '''"""Rows that say yes where the second field does."""
import numpy as np
from localdfa.data.kinds import Fields

def load():
    rng, parts = np.random.default_rng(0), []
    for size in (200, 20, 60):
        x = rng.integers(0, (4, 2), (size, 2))
        parts += [x, (x[:, 1] ^ (rng.random(size) < 0.1)).astype(np.float32)]
    return Fields(*parts, sizes=(4, 2), names=("a", "b"))

model = load
'''
VIEWS = '''"""Views of a grey scene."""
import numpy as np
from localdfa.data.kinds import Views

def load():
    images, poses = np.full((4, 11, 12, 3), 0.25, np.float32), np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    images[:, :, 6:] = 0.75
    return Views(images, poses, 9.0, 2.0, 6.0, np.array([1, 2]), np.array([3]), np.array([0]))

model = load
'''
TEXT = '''"""The same three letters over and over."""
import numpy as np
from localdfa.data.kinds import Text

def load():
    return Text(np.arange(400) % 3, np.arange(30) % 3, np.arange(60) % 3, ("a", "b", "\\n"))

model = load
'''
GRAPH = '''"""Two groups of nodes; an edge joins most of those of one group."""
import numpy as np
from localdfa.data.kinds import Graph

def load():
    rng, labels = np.random.default_rng(0), np.arange(40) % 2
    joined = np.triu(rng.random((40, 40)) < np.where(labels[:, None] == labels, 0.5, 0.05), 1)
    features = (labels[:, None] == (0, 1)) + rng.normal(0, 0.3, (40, 2))
    nodes = np.arange(40)
    return Graph(
        features.astype(np.float32), np.array(np.nonzero(joined | joined.T)), labels, nodes[:6], nodes[6:10], nodes[10:],
        ("these", "others"),
    )

model = load
'''
# Of each: the file, the module, and the figure of what it does.
RUNS = {
    "own_graph": (GRAPH, {"name": "graph_autoencoder", "hidden": 8, "latent": 4}, "tsne"),
    "own_fields": (FIELDS, {"name": "fm"}, "errors"),
    "own_views": (VIEWS, {"name": "nerf", "width": 8, "depth": 2, "samples": 4, "octaves": 2}, "views"),
    "own_text": (TEXT, {"name": "transformer", "blocks": 1, "width": 8, "heads": 2, "context": 6}, "sample"),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    content, module, figure = RUNS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    file = folder / f"{request.param}.py"
    file.write_text(content)
    whole = request.param == "own_graph"  # there are no mini-batches
    tables = {
        "models": {"data": [str(file)]}, "data": registry.name_of("data", file),
        "module": module, "optimiser": {"name": "adam", "learning_rate": 0.03},
        "stage": [{"epochs": 30 if whole else 4, "keep": "best"}],
        **({"record": {"activity": 30}} if whole else {"batch_size": 16, "record": {"train": 50, "probe": 20}}),
        "condition": [{"name": "bp", "rule": "bp"}] + [{"name": "dfa", "rule": "dfa"}] * (request.param != "own_fields"),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:  # in a registry that has taken in no other file, and forgets these
        patched.setattr(registry, "_files", {})
        yield train.run(spec.experiment(tables), folder / "run", name="mine", progress=False), figure
    registry.get.cache_clear()
    registry._source.cache_clear()
    del sys.modules[registry._module_of("data", tables["data"])]


def test_samples_are_counted_without_a_training(run, monkeypatch):
    """As many as an epoch learns from; of a text alone, of which the module says how much it sees, one has to be made."""
    run, _ = run
    made, real = [], module_trainer.ModuleTrainer.__init__
    forms = samples.in_forms(run.settings.values(), samples.load(run.experiment), {})
    setting = next(iter(run.settings.values()))
    expected = jobs.training_of(setting, forms, run.jobs[0]).n_train
    monkeypatch.setattr(
        module_trainer.ModuleTrainer, "__init__", lambda self, *given: (made.append(self), real(self, *given))[1]
    )
    assert jobs.n_train(setting, forms) == expected
    assert len(made) == (run.experiment.data == "own-text")


def test_a_run_learns_and_its_rows_are_read_again(run):
    found, _ = run
    again = localdfa.open_run(found.folder)
    key = f"test_{next(iter(again.settings.values())).output.measures[0].key}"
    for job in again.jobs:
        assert job.metrics == next(other for other in found.jobs if other.condition == job.condition).metrics
    first, last = again.jobs[0].metrics[0], again.jobs[0].last
    assert last[key] < 0.9 * first[key]
    assert all(np.isfinite(row[key]) for job in again.jobs for row in job.metrics)


@pytest.mark.parametrize("run", ["own_fields"], indirect=True)
def test_probabilities_of_rows_of_categories_are_those_of_the_machine(run):
    """Of rows that it has seen and of those that it has not: Rendle's equation in NumPy, and the module itself."""
    found, _ = run
    x = np.stack(np.meshgrid(np.arange(4), np.arange(2), indexing="ij"), -1).reshape(-1, 2)
    weights = {name: array.astype(float) for name, array in found.jobs[0].weights.items()}
    rows, v = weights["first_order.weights.table.weight"][:, 0], weights["embeddings.table.weight"]
    drive = [weights["first_order.bias"] + rows[a] + rows[4 + b] + v[a] @ v[4 + b] for a, b in x]
    expected = 1 / (1 + np.exp(-np.array(drive)))
    probabilities = found.predict(x, outputs=True)
    assert probabilities.shape == (8, 1)
    np.testing.assert_allclose(probabilities[:, 0], expected, rtol=0, atol=1e-6)
    with torch.no_grad():
        own = found.module()(torch.from_numpy(x)).sigmoid().numpy()
    np.testing.assert_allclose(probabilities[:, 0], own, rtol=0, atol=1e-6)
    assert np.ptp(expected) > 0.1
    np.testing.assert_array_equal(found.predict(x), np.where(expected > 0.5, "yes", "no"))
    np.testing.assert_array_equal(found.predict(x.tolist()), found.predict(x))
    for wrong, message in (
        (x[:, :1], r"allowed: whole numbers of shape \(n, 2\), the category in each of a, b"),
        (x.astype(float), "float64"),
        (x + 1, r"x\[1, 1\] = 2: a category of 'b' lies in 0 \.\. 1"),
        (-x, r"x\[1, 1\] = -1"),
    ):
        with pytest.raises(DataError, match=message):
            found.predict(wrong)


def test_its_report_shows_what_it_does(run):
    found, figure = run
    page = report.page(found)
    assert figure in {path.stem for path in (found.folder / "figures").glob("*.svg")}
    assert "What trains each parameter" in page


def test_codes_of_an_autoencoder_are_kept_and_no_classes_are_confused(run):
    found, figure = run
    if figure != "tsne":
        pytest.skip("it keeps no activity")
    for job in found.jobs:
        kept = job.activity
        assert kept["h1"].shape == (30, 8)
        assert kept["output"].shape == (30, 4)
        np.testing.assert_array_equal(kept["label"], kept["sample"] % 2)
        # What is kept of a test pair whose nodes are both shown is the product of their codes.
        place = {node: k for k, node in enumerate(kept["sample"].tolist())}
        outcome = job.outcome
        for (i, j), p in zip(outcome["pair"].T.tolist(), outcome["probability"], strict=True):
            if i in place and j in place:
                assert 1 / (1 + np.exp(-kept["output"][place[i]] @ kept["output"][place[j]])) == pytest.approx(p, rel=1e-4)
    assert "Output: what the submodule gives where the error is taken" in tsne.caption(found)
    assert "coloured by its class, as named below" in tsne.caption(found)
    drawn = tsne.figure(found)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["these", "others"]
    assert [axes.get_title() for axes in drawn.axes[:3]] == ["Inputs", "Tap 1", "Output"]
    with pytest.raises(RunError, match="shows predicted classes, and graph_autoencoder predicts none"):
        confusion.figure(found)
    with pytest.raises(SpecError, match=r"record.probe: 3 is not read by modules of data = 'own-graph'"):
        spec.experiment({**found.experiment.model_dump(exclude_unset=True), "record": {"probe": 3}})
