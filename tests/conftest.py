"""What tests share: small networks with everything random, in float64."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from localdfa import registry, train
from localdfa.core import blas
from localdfa.network import build
from localdfa.spec import experiment, load, settings


def pytest_addoption(parser):
    parser.addoption("--attack", type=int, metavar="N", help="cases of each attack in tests/attack [default: a few hundred]")


@pytest.fixture(scope="session")
def attack_size(request):
    """How many cases of each attack were asked for, by --attack N or LOCALDFA_ATTACK=N; None: a few hundred."""
    asked = request.config.getoption("--attack") or os.environ.get("LOCALDFA_ATTACK")
    return int(asked) if asked else None


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread():
    blas.one_thread()


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built documentation; every warning is an error, and there is no network to ask.

    Processes that test side by side build it once.
    """
    if not all(map(find_spec, ("sphinx", "furo", "myst_parser", "sphinx_click"))):
        pytest.skip("the documentation needs the extra docs")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    with FileLock(f"{folder}.lock"):
        if not (folder / "built").is_file():
            built = subprocess.run(
                [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", folder / "doctrees", "docs",
                 folder / "html"],
                cwd=Path(__file__).parents[1], env={**os.environ, **nowhere}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert built.returncode == 0, built.stderr
            (folder / "built").touch()
    return folder / "html"


def setting_of(**tables):
    """The setting of an experiment without conditions."""
    return next(iter(settings(experiment(tables)).values()))


@pytest.fixture(scope="session")
def rate_run(tmp_path_factory):
    """A finished run of rate networks: three conditions and seeds, two hidden layers, every record that they can keep."""
    tables = experiment(
        title="A title", seeds=[0, 1, 2], condition=[{"name": name, "rule": name} for name in ("local", "ifa", "bp")],
        network={"hidden": [6, 5]}, optimiser={"learning_rate": 1e-4}, stage=[{"epochs": 3}],
        record={"probe": 32, "activity": 40},
    )  # fmt: skip
    return train.run(tables, tmp_path_factory.mktemp("rate") / "run", name="tiny")


@pytest.fixture(scope="session")
def spiking_run(tmp_path_factory):
    """A finished run of spiking networks with two hidden layers, every record; the second condition has no spikes."""
    tables = experiment(
        seeds=[3], condition=[{"name": "local"}, {"name": "dfa", "rule": "dfa"}],
        network={"hidden": [12, 8], "neuron": "lif"}, trace={"tau_x": 10.0, "tau_z": 10.0},
        phases={"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
        optimiser={"learning_rate": 4e-3}, stage=[{"epochs": 2}],
        record={"probe": 32, "activity": 30, "spikes": 2, "states": 2},
    )  # fmt: skip
    return train.run(tables, tmp_path_factory.mktemp("spiking") / "run", name="spikes")


@pytest.fixture(scope="session")
def map_run(tmp_path_factory):
    """A finished run of one small spiking layer under two nudging strengths and two windows, with two seeds."""
    grid = [
        {"name": f"{beta:g}-{window:g}", "phases": {"beta": beta, "nudged": window}}
        for beta in (2.0, 0.5) for window in (40.0, 20.0)
    ]  # fmt: skip
    tables = experiment(
        seeds=[0, 1], network={"hidden": [8], "neuron": "lif"}, trace={"tau_x": 10.0, "tau_z": 5.0},
        phases={"free": 90.0, "propagation": "two_compartment"}, stage=[{"epochs": 1}], batch_size=256,
        record={"probe": 16, "spikes": 1}, condition=[*grid, {"name": "dfa", "rule": "dfa"}],
    )  # fmt: skip
    return train.run(tables, tmp_path_factory.mktemp("map") / "run", name="map")


@pytest.fixture(scope="session")
def beta_run(tmp_path_factory):
    """A finished run of one small rate network, with two seeds, nudged by β = 1 … 0.001 and one-sided by 1e-8 as well."""
    sweep = {"one_sided": (1.0, 0.1, 1e-8, 0.01, 1e-3), "centered": (1.0, 0.1, 0.01, 1e-3)}
    tables = experiment(
        seeds=[0, 1], network={"hidden": [7, 5], "weights": "uniform"}, stage=[{"epochs": 1}], record={"probe": 32},
        batch_size=256, precision="float64",
        condition=[
            {"name": f"{nudging}-{beta:g}", "phases": {"nudging": nudging, "beta": beta}}
            for nudging, betas in sweep.items() for beta in betas
        ],
    )  # fmt: skip
    return train.run(tables, tmp_path_factory.mktemp("beta") / "run", name="beta")


@pytest.fixture(scope="session")
def bottleneck_run(tmp_path_factory):
    """A finished run of one small rate network whose second layer the signal reaches in part, under rules and numbers of it."""
    grid = [("dfa", 1), ("dfa", 3), ("dfa", 5), ("local", 1), ("local", 5), ("bp", 5)]
    tables = experiment(
        seeds=[0, 1], network={"hidden": [6, 5], "weights": "uniform"}, stage=[{"epochs": 1}], record={"probe": 32},
        batch_size=256, condition=[
            {"name": f"{rule}-{number}", "rule": rule, **({"feedback": {"bottleneck": {"2": number}}} if number < 5 else {})}
            for rule, number in grid
        ],
    )  # fmt: skip
    return train.run(tables, tmp_path_factory.mktemp("bottleneck") / "run", name="bottleneck")


@pytest.fixture(scope="session")
def views_run(tmp_path_factory):
    """A finished run of a small radiance field under three rules."""
    tables = experiment(
        data="spheres", seeds=[0, 1], batch_size=4096, module={"name": "nerf", "width": 8, "depth": 2, "samples": 4},
        stage=[{"epochs": 1}], record={"train": 1024, "probe": 64}, optimiser={"name": "adam"},
        condition=[{"name": rule, "rule": rule} for rule in ("bp", "dfa", "local")],
    )  # fmt: skip
    return train.run(tables, tmp_path_factory.mktemp("views") / "run", name="views", progress=False)


@pytest.fixture(scope="session")
def pairs_run(tmp_path_factory):
    """The two-neuron experiment."""
    return train.run(load("stdp-pair"), tmp_path_factory.mktemp("pairs") / "run", name="stdp-pair")


class Small:
    """A small random network with a mini-batch: what a test needs to compare the core with `naive`."""

    def __init__(self, rng, hidden=(7, 5, 6), n_in=8, n_out=4, m=3, scale=0.8, **tables):
        tables = {"precision": "float64", **tables}
        tables["network"] = {"weights": "uniform", **tables.get("network", {}), "hidden": list(hidden)}
        self.setting = setting_of(**tables)
        self.rule, self.n = self.setting.rule, len(hidden)
        self.network = build(self.setting, n_in, n_out, seed=int(rng.integers(1 << 30)))
        for w in self.network.weights:
            w[...] = rng.normal(0, scale / np.sqrt(w.shape[0]), w.shape)
        self.inputs = np.ones((m, n_in + 1))
        self.inputs[:, :-1] = rng.random((m, n_in))
        self.target = np.eye(n_out)[rng.integers(0, n_out, m)]

    @property
    def W(self):
        return [self.network.W(l).copy() for l in range(self.n + 1)]

    @property
    def b(self):
        return [self.network.b(l).copy() for l in range(self.n + 1)]


@pytest.fixture
def made_up(monkeypatch):
    """Lets rules be found that are in no file."""

    def add(**rules):
        get, names = registry.get, registry.names
        monkeypatch.setattr(registry, "get", lambda p, n: rules[n] if p == "rules" and n in rules else get(p, n))
        monkeypatch.setattr(registry, "names", lambda p: sorted({*names(p), *(rules if p == "rules" else ())}))

    return add
