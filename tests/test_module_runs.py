"""Experiments with a module of PyTorch: what is trained, kept, resumed, drawn and refused."""

from functools import partial

import numpy as np
import pytest
import torch
from elsewhere import elsewhere

from localdfa import record, registry, samples, spec, train
from localdfa.analysis import report, summary
from localdfa.conformance import _kinds
from localdfa.errors import NonFiniteError, RunError, SpecError
from localdfa.module_trainer import ModuleTrainer
from localdfa.network import ORDER, generator
from localdfa.progress import Progress

CONDITIONS = [
    {"name": "bp", "rule": "bp"},
    {"name": "dfa", "rule": "dfa"},
    {"name": "local", "rule": "local", "phases": {"beta": 1e-3}},
    {"name": "shallow", "rule": "frozen"},
    {"name": "drtp", "rule": "drtp"},
    {"name": "learned", "rule": "dfa", "feedback": {"pathway": "direct_kolen_pollack"}},
]
TABLES = {
    "data": "digits",
    "seeds": [0, 1],
    "precision": "float64",
    "module": {"name": "mlp", "width": 20, "depth": 2, "activation": "tanh"},
    "optimiser": {"name": "adam", "learning_rate": 3e-3},
    "preprocess": {"validation": 0.1},
    "stage": [{"epochs": 3, "keep": "best", "schedule": {"kind": "cosine", "factor": 0.1}}],
    "record": {"activity": 60},
    "condition": CONDITIONS,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    before = torch.get_rng_state()
    found = train.run(spec.experiment(TABLES), tmp_path_factory.mktemp("modules") / "run", name="modules", progress=False)
    assert torch.equal(torch.get_rng_state(), before), "PyTorch's own random numbers are left as they were"
    return found


@pytest.mark.parametrize("rule", ["bp", "dfa", "local", "shallow"])
def test_a_module_learns_as_its_equations_say(run, rule):
    """Adam by hand, gradients in NumPy: the weights of a run are those."""
    (job,) = (job for job in run.jobs if (job.condition, job.seed) == (rule, 1))
    trained, data = job.weights, samples.load(run.experiment)
    orders = [generator(1, ORDER, epoch).permutation(len(data.y_train)) for epoch in range(3)]
    start = ModuleTrainer(run.settings[rule], data, record.Job(job.folder / "none", rule, 1))
    w = {name: tensor.numpy().copy() for name, tensor in start.model.state_dict().items()}
    B = {l: start.learner.B[f"acts/{l}"].detach().numpy() for l in (0, 1)} if rule in ("dfa", "local") else {}
    m, v = ({name: np.zeros_like(each) for name, each in w.items()} for _ in range(2))
    t = 0
    kept, rows = job.last["kept_epoch"], job.metrics
    for epoch in range(kept):
        rate = 3e-3 * (0.1 + 0.45 * (1 + np.cos(np.pi * epoch / 3)))
        assert rows[epoch + 1]["learning_rate"] == pytest.approx(rate, rel=1e-12)
        for at in range(0, len(orders[epoch]), 64):
            chosen = orders[epoch][at : at + 64]
            x, y = data.x_train[chosen].astype(float), np.eye(10)[data.y_train[chosen]]
            h1 = np.tanh(x @ w["layers.0.weight"].T + w["layers.0.bias"])
            h2 = np.tanh(h1 @ w["layers.1.weight"].T + w["layers.1.bias"])
            a = h2 @ w["head.weight"].T + w["head.bias"]
            p = np.exp(a - a.max(1, keepdims=True))
            e = (p / p.sum(1, keepdims=True) - y) / len(x)
            d2 = (e @ (w["head.weight"] if rule == "bp" else B[1].T if B else np.zeros((10, 20)))) * (1 - h2**2)
            d1 = (d2 @ w["layers.1.weight"] if rule == "bp" else e @ B[0].T if B else np.zeros((len(x), 20))) * (1 - h1**2)
            g = {
                "layers.0.weight": d1.T @ x, "layers.0.bias": d1.sum(0), "layers.1.weight": d2.T @ h1,
                "layers.1.bias": d2.sum(0), "head.weight": e.T @ h2, "head.bias": e.sum(0),
            }  # fmt: skip
            t += 1
            for name in w:
                m[name] = 0.9 * m[name] + 0.1 * g[name]
                v[name] = 0.999 * v[name] + 0.001 * g[name] ** 2
                w[name] -= rate * (m[name] / (1 - 0.9**t)) / (np.sqrt(v[name] / (1 - 0.999**t)) + 1e-8)
    for name, expected in w.items():
        # The local rule at β = 1e-3 is exact DFA but for β².
        np.testing.assert_allclose(trained[name], expected, rtol=0, atol=1e-4 if rule == "local" else 1e-9, err_msg=name)
    predicted = np.tanh(np.tanh(data.x_test @ w["layers.0.weight"].T + w["layers.0.bias"]) @ w["layers.1.weight"].T
                        + w["layers.1.bias"]) @ w["head.weight"].T + w["head.bias"]  # fmt: skip
    np.testing.assert_array_equal(job.outcome["prediction"], predicted.argmax(1))
    assert job.last["test_error"] == pytest.approx(100 * np.mean(predicted.argmax(1) != data.y_test))
    expected_loss = np.mean(np.logaddexp.reduce(predicted, 1) - predicted[np.arange(len(predicted)), data.y_test])
    assert job.last["test_loss"] == pytest.approx(expected_loss, rel=1e-4)


def test_metrics_by_tap(run):
    last = {job.condition: job.last for job in run.jobs if job.seed == 0}
    for name in ("dfa", "local", "drtp", "learned"):
        assert all(len(last[name][key]) == 2 for key in ("signal_cosine", "signal_cosine_sd", "signal_norm", "gradient_norm"))
        assert all(norm > 0 for norm in last[name]["signal_norm"])
        assert all(1 <= rank <= 10 + 1e-9 for rank in last[name]["signal_rank"]), "B e has as many as classes at most"
    assert "signal_cosine" not in last["bp"]
    assert "signal_cosine" not in last["shallow"]
    assert all(row["updates"] == 3 * 21 for row in last.values())


def test_what_is_kept(run):
    first = {job.condition: job for job in run.jobs if job.seed == 0}
    begun = {name: job.metrics[0] for name, job in first.items()}
    assert len({row["test_error"] for row in begun.values()}) == 1, "conditions that share a seed start from the same weights"
    taught = dict(zip(*(first["shallow"].load("sources")[key].tolist() for key in ("parameter", "taught_by")), strict=True))
    assert taught["layers.0.weight"] == "nothing"
    assert taught["head.weight"] == "the loss"
    assert "B:acts/0" in first["learned"].weights
    assert [row["neuron"] for row in summary.rows(run)] == ["mlp"] * len(CONDITIONS)


def test_report_and_figures(run):
    page = report.page(run)
    assert "What trains each parameter" in page
    assert "tap &#39;acts.1&#39;" in page
    assert {path.stem for path in (run.folder / "figures").glob("*.svg")} == {
        "comparison", "confusion", "dimensions", "errors", "memorise", "norms", "pca", "rates", "tsne",
    }  # fmt: skip


class _Stop(Exception):
    pass


class _Stops(Progress):
    """Breaks training off after so many rows of metrics."""

    def __init__(self, after):
        self.left = after

    def epoch(self, row):
        self.left -= 1
        if not self.left:
            raise _Stop


def test_resumed_to_the_same_bits(run, tmp_path):
    with pytest.raises(_Stop):
        train.run(run.experiment, tmp_path / "run", name="modules", progress=_Stops(11))
    again = train.resume(tmp_path / "run", progress=False)
    for one, other in zip(run.jobs, again.jobs, strict=True):
        rows = [[{key: value for key, value in row.items() if key != "seconds"} for row in job.metrics] for job in (one, other)]
        assert rows[0] == rows[1]
        for name, array in one.weights.items():
            np.testing.assert_array_equal(array, other.weights[name])


@pytest.mark.parametrize("optimiser", [{"name": "adam"}, {"name": "rmsprop"}, {"name": "momentum", "weight_decay": 0.01}])
def test_a_module_trains_is_kept_and_goes_on_elsewhere_than_on_the_cpu(run, optimiser, tmp_path):
    """As on a GPU: no array of NumPy is made of what lies there, and nothing is left on the CPU that it is computed with."""
    data, keep = samples.load(run.experiment), run.experiment.record.model_copy(update={"train": 100})
    tables = {**TABLES, "optimiser": optimiser, "condition": [CONDITIONS[-1]]}
    (setting,) = spec.settings(spec.experiment(tables)).values()

    def trained(where):
        module = setting.module.model_copy(update={"device": where})
        job = record.Job(tmp_path / where, "learned", 0)
        made = partial(ModuleTrainer, setting.model_copy(update={"module": module}), data, job, keep)
        made().warm_up()
        first, second = made(), made()
        for trainer, epochs in ((first, 2), (second, 1)):
            trainer.restore(Progress())
            if not trainer.rows:
                trainer.measure()
            for _ in range(epochs):
                trainer.train_epoch(Progress())
                trainer.not_learned(trainer.measure())
                trainer.next_stage()
                if trainer.epoch == 1:
                    trainer.save()
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in second.rows]
        for one, other in zip(first._learned, second._learned, strict=True):
            np.testing.assert_array_equal(one, other)
        return rows, {name: kept() for name, kept in second.records(keep).items()}

    rows, kept = trained("cpu")
    with elsewhere() as where:
        rows_there, kept_there = trained(where)
    assert rows_there == rows
    for name, arrays in kept.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(kept_there[name][key], array, err_msg=f"{name}: {key}")


def test_learned_feedback_decays_as_the_weights_do(run, tmp_path):
    """Gradients in NumPy: B takes the step of the weights, its gradient h eᵀ, and biases alone do not decay."""
    data, decay, rate = samples.load(run.experiment), 0.1, 0.5
    tables = {
        **TABLES, "optimiser": {"name": "sgd", "learning_rate": rate, "weight_decay": decay}, "condition": [CONDITIONS[-1]],
        "stage": [{"epochs": 1}],
    }  # fmt: skip
    (setting,) = spec.settings(spec.experiment(tables)).values()
    trainer = ModuleTrainer(setting, data, record.Job(tmp_path, "learned", 0))
    w = {name: tensor.numpy().copy() for name, tensor in trainer.learner.tensors().items()}
    trainer.train_epoch(Progress())
    order = generator(0, ORDER).permutation(len(data.y_train))
    for at in range(0, len(order), 64):
        chosen = order[at : at + 64]
        x, y = data.x_train[chosen].astype(float), np.eye(10)[data.y_train[chosen]]
        h1 = np.tanh(x @ w["layers.0.weight"].T + w["layers.0.bias"])
        h2 = np.tanh(h1 @ w["layers.1.weight"].T + w["layers.1.bias"])
        p = np.exp(h2 @ w["head.weight"].T + w["head.bias"])
        e = (p / p.sum(1, keepdims=True) - y) / len(x)
        d2, d1 = e @ w["B:acts/1"].T * (1 - h2**2), e @ w["B:acts/0"].T * (1 - h1**2)
        g = {
            "layers.0.weight": d1.T @ x, "layers.0.bias": d1.sum(0), "layers.1.weight": d2.T @ h1, "layers.1.bias": d2.sum(0),
            "head.weight": e.T @ h2, "head.bias": e.sum(0), "B:acts/0": h1.T @ e, "B:acts/1": h2.T @ e,
        }  # fmt: skip
        for name in w:
            w[name] -= rate * (g[name] + decay * w[name] * (not name.endswith("bias")))
    for name, tensor in trainer.learner.tensors().items():
        np.testing.assert_allclose(tensor.numpy(), w[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("name", "data", "most"),
    [("mlp", _kinds.samples(4, m=50), 20), ("fm", _kinds.fields(40), 15), ("transformer", _kinds.text(), 60)],
)
def test_a_module_is_judged_by_the_samples_that_were_measured(name, data, most, tmp_path):
    """Where `record.train` asks for fewer than there are: their targets are those that the error was taken of."""
    module = {"name": name, **({"context": 10, "width": 8, "blocks": 1} if name == "transformer" else {})}
    (setting,) = spec.settings(spec.experiment(module=module, rule="bp", optimiser={"name": "adam"})).values()
    trainer = ModuleTrainer(setting, data, record.Job(tmp_path, "bp", 0), spec.Record(train=most))
    task, seen, judged = trainer.task, [], []
    batch, targets = task._batch, task.targets
    task._batch = lambda part, places: seen.append((part, batch(part, places).target)) or batch(part, places)
    task.targets = lambda most, rng: judged.append(targets(most, rng)) or judged[-1]
    row = trainer.measure()
    of_train = torch.cat([target.flatten() for part, target in seen if part == "train"]).numpy()
    trainer.not_learned(row)
    (found,) = judged
    np.testing.assert_array_equal(found.argmax(1) if found.ndim > 1 else found, of_train)
    assert len(found) < task.n_train


def test_the_resolved_spec_is_the_experiment(run):
    again = spec.load(str(run.folder / "spec.toml"))
    assert spec.settings(again) == spec.settings(run.experiment)
    text = (run.folder / "spec.toml").read_text()
    assert "width = 20" in text
    for table in ("[network]", "[neuron]", "[trace]", "[input]", "[certify]"):
        assert table not in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"module": {"name": "mpl"}}, "module.name: .*mlp"),
        ({"module": {"width": 3}}, "module.name: missing"),
        ({"module": {"name": "mlp", "with": 3}}, "module.with: a parameter of mlp .*width"),
        ({"module": {"name": "mlp", "width": 16.0}}, "module.width: 16.0 is not a whole number"),
        ({"module": {"name": "mlp", "width": 0}}, "module.width: 0 is out of bounds"),
        ({"module": {"name": "mlp", "activation": "relo"}}, "module.activation: .*relu"),
        ({"module": {"name": "mlp", "device": "tpu"}}, "module.device"),
        (
            {"module": {"name": "mlp", "inside": "bp"}, "condition": [{"name": "a", "rule": "dfa"}]},
            "module.inside: 'bp' is read",
        ),
        ({"network": {"hidden": [3]}}, r"network: .*'hidden': \[3\].* module.name = 'mlp' stands"),
        ({"neuron": {"tau": 3.0}}, "neuron: "),
        ({"input": {"code": "poisson"}}, "input: "),
        ({"trace": {"tau_x": 3.0}}, "trace: "),
        ({"adversarial": {"strength": 0.1}}, "adversarial: "),
        ({"augment": {"flip": True}}, "augment: "),
        ({"phases": {"free": 50.0}}, "phases.free: 50.0 is of networks of layers"),
        ({"phases": {"propagation": "live"}}, "phases.propagation"),
        ({"phases": {"beta": 0.2}, "condition": [{"name": "a", "rule": "dfa"}]}, "phases.beta: 0.2 is read only"),
        ({"feedback": {"signal": "spikes"}}, "feedback.signal"),
        ({"feedback": {"bottleneck": {"1": 3}}}, "feedback.bottleneck"),
        ({"feedback": {"pathway": "direct_kolen_pollack", "density": 0.3}}, "feedback.density: 0.3 would not last"),
        ({"feedback": {"pathway": "direct_kolen_pollack", "signs": "sender"}}, "feedback.signs: 'sender' would not last"),
        ({"feedback": {"rank": 1, "density": 0.5}}, "feedback.rank: 1 would not stay so with feedback.density = 0.5"),
        ({"feedback": {"rank": 1, "signs": "sender"}}, "feedback.rank: 1 would not stay so with feedback.signs = 'sender'"),
        ({"feedback": {"distribution": "orthogonal", "rank": 2}}, "feedback.distribution: 'orthogonal' would not last"),
        ({"feedback": {"spread": True}}, "feedback.spread: true, but module.name = 'mlp' has no neighbours"),
        ({"feedback": {"gain": 2.0}, "condition": [{"name": "a", "rule": "bp"}]}, "feedback.gain: 2.0 is read only"),
        ({"feedback": {"pathway": "sequential"}, "condition": [{"name": "a", "rule": "dfa"}]}, "feedback.pathway"),
        ({"condition": [{"name": "a", "rule": "fa"}]}, "rule: 'fa' is no rule for modules"),
        ({"stage": [{"epochs": 1}, {"epochs": 2}]}, "stage: a module of PyTorch is trained in one"),
        ({"stage": [{"epochs": 1, "frozen": [1]}]}, r"stage\[0\].frozen"),
        ({"stage": [{"epochs": 1, "stop_at_error": 1.0}]}, r"stage\[0\].stop_at_error"),
        ({"record": {"spikes": 3}}, "record.spikes: 3 is not read by modules of data = 'digits'"),
        ({"record": {"weights": "every_epoch"}}, "record.weights"),
        ({"certify": {"samples": 3}}, "certify: "),
        (
            {"condition": [{"name": "a", "rule": "bp"}, {"name": "b", "rule": "bp", "module": {"name": "gcn"}}]},
            "module: conditions",
        ),
    ],
)
def test_what_a_module_does_not_read_is_refused(changes, said):
    with pytest.raises(SpecError, match=said):
        spec.experiment({**TABLES, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "diabetes"}, "numbers to be fitted; allowed with a module"),
        ({"data": "spheres"}, "spheres"),
        (
            {"module": {"name": "gcn"}, "preprocess": {}, "condition": [{"name": "a", "rule": "dfa"}]},
            "'digits' is no Graph, which module.name = 'gcn' reads",
        ),
        ({"module": {"name": "mlp", "device": "cuda"}}, "module.device: 'cuda'"),
        ({"stage": [{"epochs": 1, "keep": "best"}], "preprocess": {"validation": 0.0}}, r"stage\[0\].keep: 'best' chooses by"),
    ],
)  # fmt: skip
def test_what_shows_with_the_data_is_refused_before_a_folder_is_made(changes, said, tmp_path):
    if "cuda" in said and torch.cuda.is_available():
        pytest.skip("there is such a device here")
    with pytest.raises(Exception, match=said):
        train.run({**TABLES, **changes}, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_module_learns_from_arrays_without_a_test_part(tmp_path):
    """Its outcome is empty then, as that of layers is."""
    x = np.random.default_rng(0).normal(size=(60, 4))
    asked = {"rule": "dfa", "stage": [{"epochs": 1}]}
    y = (x.sum(axis=1) > 0).astype(int)
    for name, own in (("module", {"module": {"name": "mlp", "width": 8}}), ("layers", {"network": {"hidden": [8]}})):
        found = train.run({**asked, **own}, tmp_path / name, progress=False, data=(x, y))
        assert found.entries.not_kept == []
        assert found.jobs[0].outcome["prediction"].shape == (0,)


_OWN = """
from typing import NamedTuple
from torch import nn
from localdfa.data import Dataset
class Own(nn.Module):
    class Parameters(NamedTuple):
        pass
    reads, taps, output = Dataset, ("act",), ""
    def __init__(self, parameters, data):
        super().__init__()
        self.layer, self.act, self.head = nn.Linear(data.n_features, 8), nn.ReLU(), nn.Linear(8, {outputs})
        {begin}
    def forward(self, x):
        {first}
        return self.head(self.act(self.layer(x.flatten(1))))
model = Own
"""


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("own_wide", {"outputs": "13"}, r"the module gives \(64, 13\); allowed .* \(64, 10\)"),
        ("own_narrow", {"outputs": "4"}, r"the module gives \(64, 4\); allowed .* \(64, 10\)"),
        ("own_begin", {"begin": "1 / 0"}, "'own_begin' cannot be trained on these data: ZeroDivisionError: .*line 12"),
        ("own_forward", {"first": "1 / 0"}, "'own_forward' cannot be trained on these data: ZeroDivisionError: .*line 14"),
        ("own_tested", {"first": "self.training or 1 / 0"}, "'own_tested' cannot be trained on these data: .*line 14"),
        # Of 1438 samples the last mini-batch of 479 is of one.
        (
            "own_normalised",
            {"first": "nn.BatchNorm1d(64).train(self.training)(x.flatten(1))"},
            "'own_normalised' cannot be trained on these data: ValueError: Expected more than 1 value per channel",
        ),
    ],
)
def test_faults_of_a_module_of_ones_own_show_before_a_folder_is_made(name, changes, said, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_files", {})  # others do not meet these files
    file = tmp_path / f"{name}.py"
    file.write_text(_OWN.format(**{"outputs": "10", "begin": "", "first": "", **changes}))
    tables = {"data": "digits", "models": {"modules": [str(file)]}, "module": {"name": name}, "rule": "dfa"}
    size = 479 if name == "own_normalised" else 64
    with pytest.raises(SpecError, match=said):
        train.run({**tables, "batch_size": size}, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


_RESTING = """
from typing import NamedTuple
from torch import nn
from localdfa.data import Dataset
class Own(nn.Module):
    class Parameters(NamedTuple):
        pass
    reads, taps, output = Dataset, ("one", "act"), ""
    def __init__(self, parameters, data):
        super().__init__()
        self.norm, self.single, self.one = nn.BatchNorm1d(data.n_features), nn.Linear(data.n_features, 1), nn.Tanh()
        self.layer, self.act, self.head = nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 10)
        self.norm.eval()
    def forward(self, x):
        h = self.one(self.single(self.norm(x.flatten(1)))[:, 0])
        return self.head(self.act(self.layer(h[:, None])))
    {more}
model = Own
"""


def test_what_a_module_keeps_in_evaluation_mode_stays_there_and_any_tap_is_kept(tmp_path, monkeypatch):
    """The statistics of a frozen batch norm are those that it was made with; a tap may give one number a sample."""
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "own_resting.py"
    file.write_text(_RESTING.format(more=""))
    tables = {
        "data": "digits", "models": {"modules": [str(file)]}, "module": {"name": "own_resting"}, "rule": "dfa",
        "stage": [{"epochs": 2}], "record": {"activity": 20},
    }  # fmt: skip
    (job,) = train.run(tables, tmp_path / "run", progress=False).jobs
    assert job.weights["norm.num_batches_tracked"] == 0
    assert not job.weights["norm.running_mean"].any()
    assert {name: job.activity[name].shape for name in ("h1", "h2")} == {"h1": (20, 1), "h2": (20, 8)}


def test_a_state_that_would_not_be_kept_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_files", {})
    file = tmp_path / "own_state.py"
    file.write_text(_RESTING.format(more="def get_extra_state(self): return {'steps': 3}"))
    tables = {"data": "digits", "models": {"modules": [str(file)]}, "module": {"name": "own_state"}, "rule": "dfa"}
    with pytest.raises(SpecError, match="'own_state' has the state '_extra_state', which is no tensor and would not be kept"):
        train.run(tables, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "parameter", "said"),
    [
        ("own_list", "sizes: list = [1, 2]", r"'sizes' is of type list.*; allowed: int, float, or a Literal"),
        ("own_text", "kind: str = 'a'", r"'kind' is of type str.*; allowed: int, float, or a Literal"),
        ("own_low", "width: Annotated[int, Field(ge=1)] = -3", "has the default -3, which is not allowed: .*greater"),
        ("own_half", "width: int = 2.5", "has the default 2.5, which is not allowed: .*integer"),
        ("own_flag", "width: int = True", "has the default True, which is no number"),
        ("own_choice", "kind: Literal['a', 'b'] = 'c'", "has the default 'c', which is not allowed: .*'a' or 'b'"),
        ("own_name", "name: int = 3", "'name' has the name of a key .*; allowed: other names than name, "),
        ("own_fails", "width: int = 3\n        def refusal(self): return 1 / 0", "its refusal fails: ZeroDivisionError: div"),
    ],
)  # fmt: skip
def test_faults_in_the_parameters_of_a_module_of_ones_own_show_before_a_folder_is_made(
    name, parameter, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(registry, "_files", {})  # others do not meet these files
    file, begin = tmp_path / f"{name}.py", "from typing import Annotated, Literal\nfrom pydantic import Field\n"
    text = _OWN.format(outputs="10", begin="", first="").replace("        pass", f"        {parameter}")
    file.write_text(begin + text)
    tables = {"data": "digits", "models": {"modules": [str(file)]}, "module": {"name": name}, "rule": "dfa"}
    with pytest.raises(SpecError, match=said):
        train.run(tables, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_module_is_named(run, tmp_path):
    other = spec.experiment({**TABLES, "module": {**TABLES["module"], "width": 21}, "condition": [CONDITIONS[0]]})
    (job,) = (job for job in run.jobs if (job.condition, job.seed) == ("bp", 0))
    (setting,) = spec.settings(other).values()
    trainer = ModuleTrainer(setting, samples.load(other), record.Job(job.folder, "bp", 0))
    with pytest.raises(RunError, match=r"checkpoint\.npz: does not fit this experiment: layers\.0\.weight has shape"):
        trainer.restore(Progress())


def test_a_fault_in_the_middle_of_training_is_told_in_a_line(run):
    (job,) = (job for job in run.jobs if (job.condition, job.seed) == ("bp", 0))
    trainer = ModuleTrainer(run.settings["bp"], samples.load(run.experiment), record.Job(job.folder / "none", "bp", 0))

    def fails(module, inputs):
        raise ZeroDivisionError("no more")

    trainer.model.head.register_forward_pre_hook(fails)
    for call in (lambda: trainer.train_epoch(Progress()), trainer.measure):
        with pytest.raises(
            SpecError, match=r"module\.name: 'mlp' cannot be trained on these data: ZeroDivisionError: no more \("
        ):
            call()


def test_buffers_may_hold_what_is_not_finite(run):
    (job,) = (job for job in run.jobs if (job.condition, job.seed) == ("bp", 0))
    trainer = ModuleTrainer(run.settings["bp"], samples.load(run.experiment), record.Job(job.folder / "none", "bp", 0))
    trainer.model.register_buffer("mask", torch.full((2,), float("-inf")))  # as those of attention are
    trainer.train_epoch(Progress())
    with torch.no_grad():
        trainer.model.head.bias[0] = torch.nan
    with pytest.raises(NonFiniteError, match="the loss is not finite in epoch 2, step 1"):
        trainer.train_epoch(Progress())
