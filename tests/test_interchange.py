"""What is trained here in the forms of other programs, read there, and what is written there, read here."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import setting_of

import localdfa
from localdfa import cli, data, interchange
from localdfa.errors import DataError, LocalDFAError, RunError, SpecError
from localdfa.interchange import torch as of_torch

TINY = {
    "network": {"hidden": [8]},
    "stage": [{"epochs": 1}],
    "record": {"probe": 16},
    "batch_size": 256,
    "precision": "float64",
}


def trained(tmp_path, **tables):
    return localdfa.run({**TINY, **tables}, tmp_path / "run", progress=False)


def invoke(*arguments):
    return CliRunner().invoke(cli.main, ["export", *map(str, arguments)])


# --- what can be asked for --------------------------------------------------------------------------------------------


def test_what_does_not_go_together_is_refused(rate_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interchange.FORMATS == cli._FORMATS
    with pytest.raises(SpecError, match=r"to: 'safetensor' .*did you mean 'safetensors'"):
        rate_run.export("safetensor")
    with pytest.raises(SpecError, match=r"'brian2' is no format for runs; allowed for them: .*safetensors"):
        rate_run.export("brian2", condition="bp")
    with pytest.raises(SpecError, match="'torch' is no format for circuits; allowed for them: brian2, nest, nir"):
        interchange.export(localdfa.Circuit(), "torch")
    with pytest.raises(SpecError, match="condition, seed: are those of runs"):
        interchange.export(localdfa.Circuit(), "brian2", condition="bp")
    for arguments, said in (
        ((rate_run.folder, "--to", "torch"), "which condition? There are local, ifa, bp"),
        ((rate_run.folder, "--to", "torch", "--condition", "bq"), "no condition 'bq'"),
        (("brunel", "--to", "brian2", "--condition", "bp"), "brunel is no run"),
    ):
        done = invoke(*arguments)
        assert (done.exit_code, said in done.output) == (1, True), done.output
    begun = localdfa.record.create(tmp_path / "begun", localdfa.experiment(TINY))
    with pytest.raises(RunError, match="is not finished"):
        localdfa.open_run(begun.folder).export("safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"begun"}


# --- safetensors ------------------------------------------------------------------------------------------------------


def test_weights_go_out_as_safetensors_and_come_back(rate_run, tmp_path, monkeypatch):
    from safetensors import safe_open

    monkeypatch.chdir(tmp_path)
    done = invoke(rate_run.folder, "--to", "safetensors", "--condition", "ifa", "--seed", 2)
    assert done.output.strip() == "tiny-ifa-2.safetensors"
    job = next(job for job in rate_run.jobs if (job.condition, job.seed) == ("ifa", 2))
    with safe_open("tiny-ifa-2.safetensors", "numpy") as file:
        assert set(file.keys()) == set(job.weights)
        for name, array in job.weights.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
        about = file.metadata()
    assert (about["condition"], about["seed"], about["localdfa"]) == ("ifa", "2", localdfa.__version__)
    assert about["spec"] == (rate_run.folder / "spec.toml").read_text()

    tables = {**TINY, "rule": "ifa", "network": {"hidden": [6, 5]}}
    from_file = localdfa.run(tables, "a", weights="tiny-ifa-2.safetensors", progress=False).jobs[0].weights
    from_arrays = localdfa.run(tables, "b", weights=job.weights, progress=False).jobs[0].weights
    for name, array in from_arrays.items():
        np.testing.assert_array_equal(from_file[name], array)


def test_a_file_of_safetensors_that_is_none_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(RunError, match="there is no such file"):
        localdfa.run(TINY, tmp_path / "run", weights=path, progress=False)
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00not json")
    with pytest.raises(RunError, match=r"w\.safetensors: damaged"):
        localdfa.run(TINY, tmp_path / "run", weights=path, progress=False)
    assert not (tmp_path / "run").exists()


# --- PyTorch ----------------------------------------------------------------------------------------------------------

SMALL = {"channels": 3, "kernel": 3, "padding": 1, "pool": 2, "stride": 2}
NETWORKS = {
    "tanh": {"network": {"hidden": [8, 5]}},
    "logistic, softmax": {"network": {"hidden": [8], "neuron": "logistic", "output": "softmax"}},
    "relu, dropout": {"network": {"hidden": [8, 6], "neuron": "relu", "dropout": 0.2, "input_dropout": 0.1}},
    "leaky relu": {"network": {"hidden": [8], "neuron": "leaky_relu"}, "neuron": {"slope": 0.2}},
    "linear": {"network": {"hidden": [8], "neuron": "linear"}, "optimiser": {"learning_rate": 1e-5}},
    "batch norm": {"network": {"hidden": [8], "batch_norm": True}},
    "convolution": {"network": {"hidden": [SMALL, {"channels": 4, "kernel": 2}, 6]}},
    "convolution, normalised": {"network": {"hidden": [SMALL, 6], "neuron": "relu", "batch_norm": True}},
    "regression": {"data": "diabetes", "network": {"hidden": [8], "output": "linear"}},
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_module_of_a_trained_network_gives_its_outputs(case, tmp_path):
    run = trained(tmp_path, **NETWORKS[case])
    module, x = run.module(), data.load(run.experiment.data, dtype=np.float64).x_test[:50]
    assert not module.training
    samples = x.reshape(-1, *run.info["shape"])
    with torch.no_grad():
        found = module(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(found, run.predict(samples, outputs=True), rtol=0, atol=1e-12 * max(1, np.abs(found).max()))
    assert type(module) is torch.nn.Sequential
    assert all(type(layer).__module__.startswith("torch.nn.") for layer in module)
    assert {"hidden1.weight", "output.weight", "output.bias"} <= set(module.state_dict())
    names = [name.partition(".")[0] for name in module.state_dict()]
    assert {name.rstrip("0123456789") for name in names} <= {"hidden", "norm", "output"}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"network": {"hidden": [8], "neuron": "lif"}}, r"network\.neuron: 'lif' spikes"),
        ({"network": {"hidden": [{**SMALL, "shared": False}]}}, r"network\.hidden\[0\]\.shared: false"),
        ({"neuron": {"tau": 5.0}, "phases": {"free": 60.0}}, r"neuron\.tau: 5\.0 ms"),
    ],
)
def test_what_pytorch_has_no_layer_for_is_refused_by_name(tables, said):
    with pytest.raises(SpecError, match=said):
        of_torch._require_known(setting_of(**tables))


@pytest.mark.slow
def test_a_program_of_pytorch_runs_without_localdfa(tmp_path):
    run = trained(tmp_path, **NETWORKS["convolution, normalised"])
    done = invoke(run.folder, "--to", "torch", "--out", tmp_path / "net.pt2")
    assert done.exit_code == 0, done.output
    code = (
        "import json, sys, torch\n"
        "found = torch.export.load(sys.argv[1]).module()(torch.tensor(json.load(sys.stdin), dtype=torch.float64))\n"
        "assert 'localdfa' not in sys.modules\n"
        "print(json.dumps(found.tolist()))"
    )
    x = data.load("digits", dtype=np.float64).x_test[:7]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net.pt2"], input=json.dumps(x.reshape(-1, 1, 8, 8).tolist()),
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(done.stdout), run.predict(x, outputs=True), atol=1e-12)


# --- modules of PyTorch -----------------------------------------------------------------------------------------------


def test_a_module_run_predicts_and_goes_out(tmp_path):
    tables = {"module": {"name": "mlp", "width": 12}, "seeds": [0, 1], "preprocess": {"standardise": True}}
    run = localdfa.run({**tables, "stage": [{"epochs": 2}], "precision": "float64"}, tmp_path / "run", progress=False)
    x = data.load("digits", dtype=np.float64).x_test
    for job in run.jobs:
        np.testing.assert_array_equal(run.predict(x, seed=job.seed), job.outcome["prediction"])
    module = run.module(seed=1)
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), run.jobs[1].weights[name])
    standardised = data.load("digits", standardise=True, dtype=np.float64).x_test
    with torch.no_grad():
        expected = module(torch.from_numpy(standardised)).softmax(1).numpy()
    np.testing.assert_allclose(run.predict(x, seed=1, outputs=True), expected, atol=1e-9)
    with pytest.raises(DataError, match=r"x has the shape \(3, 5\)"):
        run.predict(np.zeros((3, 5)))
    (path,) = run.export("safetensors", tmp_path / "w.safetensors", seed=1)
    np.testing.assert_array_equal(interchange.safetensors.read(path)["head.weight"], run.jobs[1].weights["head.weight"])


def test_a_module_of_arrays_needs_them_to_predict(tmp_path):
    rng = np.random.default_rng(0)
    given = (rng.random((60, 4)), np.repeat(["a", "b", "c"], 20))
    tables = {"module": {"name": "mlp", "width": 6}, "stage": [{"epochs": 1}]}
    run = localdfa.run(tables, tmp_path / "run", data=given, progress=False)
    assert set(run.predict(given[0])) <= {"a", "b", "c"}
    assert run.predict(given[0], outputs=True).shape == (60, 3)
    again = localdfa.open_run(run.folder)
    with pytest.raises(RunError, match=r"give them again: localdfa\.open_run"):
        again.predict(given[0])
    found = localdfa.open_run(run.folder, data=given).predict(given[0])
    np.testing.assert_array_equal(found, run.predict(given[0]))


def test_other_kinds_of_data_predict_where_samples_are_apart(views_run, tmp_path):
    with pytest.raises(SpecError, match="a module that reads Views predicts on the data that it was trained with"):
        views_run.predict(np.zeros((1, 3)), "bp")
    with pytest.raises(SpecError, match=r"module\.name: 'nerf' reads data as a whole"):
        views_run.export("torch", tmp_path / "x.pt2", "bp")


def test_a_library_that_is_missing_names_its_extra(rate_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(LocalDFAError, match=r"pip install 'localdfa\[safetensors\]'"):
        rate_run.export("safetensors", condition="bp")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "localdfa.interchange.torch", raising=False)
    for asked in (lambda: rate_run.export("torch", condition="bp"), lambda: rate_run.module("bp")):
        with pytest.raises(LocalDFAError, match=r"torch is not installed; get it with: pip install 'localdfa\[torch\]'"):
            asked()
    with pytest.raises(SpecError, match=r"allowed for them: nir, nwb, safetensors, torch$"):
        rate_run.export("nest", condition="bp")


def test_a_script_does_not_have_the_name_of_its_arrays(tmp_path):
    net = localdfa.Circuit()
    net.population("a", 2)
    for target in ("nest", "brian2"):
        with pytest.raises(SpecError, match=r"net\.npz; its arrays are written under this name; allowed: .* \.py"):
            interchange.export(net, target, tmp_path / "net.npz")
    assert not [*tmp_path.iterdir()]
