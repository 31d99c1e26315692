"""Models from outside of the package: by entry points of an installed one, and by files that a spec names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from localdfa import outputs, record, registry, spec, train
from localdfa.analysis import summary
from localdfa.errors import RunError, SpecError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLUGIN = Path(__file__).with_name("plugin")
SOFTSIGN = (PLUGIN / "example_models" / "softsign.py").read_text(encoding="utf-8")
TINY = {"network": {"hidden": [4]}, "stage": [{"epochs": 1}], "record": {"probe": 16, "train": 16}}


def installed(folder, points=None, name="example-models", version="1.2"):
    """A folder for sys.path in which a package is installed: its metadata, with the entry points of its pyproject.toml."""
    if points is None:
        points = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in own.items()) for group, own in points.items())
    )
    return folder


def python(*words, within, path=(), **environment):
    return subprocess.run(
        [sys.executable, *words], cwd=within, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (PLUGIN, *path))), **environment},
    )  # fmt: skip


@pytest.fixture
def afresh(monkeypatch):
    """The registry as in a process that has taken in no file."""
    monkeypatch.setattr(registry, "_files", {})
    registry.get.cache_clear()
    registry._source.cache_clear()
    yield
    for module in [name for name in sys.modules if name.startswith("localdfa_")]:
        del sys.modules[module]
    registry.get.cache_clear()
    registry._source.cache_clear()


def forgotten():
    """As `afresh`, in the midst of a test."""
    registry._files.clear()
    registry.get.cache_clear()


# --- installed packages -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    return installed(tmp_path_factory.mktemp("site"))


def test_models_of_an_installed_package_stand_beside_those_of_localdfa(plugin, tmp_path):
    listed = python("-m", "localdfa", "list", within=tmp_path, path=[plugin])
    assert listed.returncode == 0, listed.stderr
    lines = " ".join(listed.stdout.split())
    for line in (
        "softsign Softsign, f(v) = v/(1 + |v|) (example-models 1.2)",
        "lion Lion (Chen et al. 2023, arXiv:2302.06675) (example-models 1.2)",
        "two-bars 64 + 32 pictures of a bar, 6 x 6, upright or lying, with noise: made here (example-models 1.2)",
        "margin By how much the right output exceeds the largest other one",
        "tanh Hyperbolic tangent, f(v) = tanh(v) ",
    ):
        assert line in lines
    found = python("-c", IMPORTED, within=tmp_path, path=[plugin])
    assert found.stdout.split() == ["True", "False", "True"], found.stderr


# To list and to describe imports nothing of the package.
IMPORTED = """
import sys
from localdfa import registry, spec
print("lion" in registry.names("optimisers") and registry.describe("optimisers", "lion").startswith("Lion"))
spec.experiment()
print(any("example_models" in name for name in sys.modules))
registry.get("optimisers", "lion")
print("example_models.lion" in sys.modules)
"""


def test_models_of_an_installed_package_train_and_are_named_in_run_json(plugin, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'data = "two-bars"\nrule = "signed"\nnetwork = {hidden = [5], neuron = "softsign"}\noptimiser = {name = "lion"}\n'
        "record = {margin = 6}\nstage = [{epochs = 3}]\n"
    )
    done = python("-m", "localdfa", "run", "mine.toml", "--out", "run", within=tmp_path, path=[plugin])
    assert done.returncode == 0, done.stderr
    own = {"package": "example-models", "version": "1.2"}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["models"] == {
        "data": {"two-bars": own}, "feedback": {"signs": own}, "neurons": {"softsign": own}, "optimisers": {"lion": own},
        "recorders": {"margin": own}, "rules": {"signed": own},
    }  # fmt: skip
    folder = tmp_path / "run" / "conditions" / "signed" / "seed-0"
    assert record.Job(folder, "signed", 0).load("margin")["margin"].shape == (6,)
    # Without the package the run says what is missing.
    lacking = python("-m", "localdfa", "report", "run", within=tmp_path)
    assert lacking.returncode == 1
    assert "'softsign' is not one of" in lacking.stderr
    assert "Traceback" not in lacking.stderr


def test_a_model_of_another_package_takes_nobodys_place(tmp_path):
    first = installed(
        tmp_path / "a", {"localdfa.neurons": {"tanh": "example_models.softsign", "mine": "example_models.softsign"}}
    )
    second = installed(tmp_path / "b", {"localdfa.neurons": {"mine": "example_models.softsign"}}, "others", "2")
    for name, places in (
        ("tanh", ("localdfa/neurons/tanh.py", "example_models.softsign of example-models 1.2")),
        ("mine", ("example_models.softsign of example-models 1.2", "example_models.softsign of others 2")),
    ):
        (tmp_path / "mine.toml").write_text(f'network = {{neuron = "{name}"}}\n')
        for words in (("show", "mine.toml"), ("list",)):
            done = python("-m", "localdfa", *words, within=tmp_path, path=[first, second])
            assert done.returncode == 1
            assert "Traceback" not in done.stderr
        done = python("-m", "localdfa", "show", "mine.toml", within=tmp_path, path=[first, second])
        assert f"{name!r} is the name of more than one model of localdfa.neurons" in done.stderr
        assert all(place in done.stderr for place in places)
    (tmp_path / "mine.toml").write_text('network = {neuron = "relu"}\n')
    assert python("-m", "localdfa", "show", "mine.toml", within=tmp_path, path=[first, second]).returncode == 0


def test_a_package_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "empty.py").write_text("")
    site = installed(tmp_path / "site", {"localdfa.neurons": {"broken": "broken", "empty": "empty", "gone": "not_there"}})
    for name, reason in (("broken", "ModuleNotFoundError"), ("empty", "AttributeError"), ("gone", "ModuleNotFoundError")):
        (tmp_path / "mine.toml").write_text(f'network = {{neuron = "{name}"}}\n')
        done = python("-m", "localdfa", "show", "mine.toml", within=tmp_path, path=[site, tmp_path])
        assert done.returncode == 1
        assert "of example-models 1.2 cannot be used" in done.stderr
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    assert python("-m", "localdfa", "list", within=tmp_path, path=[site, tmp_path]).returncode == 0


# --- files that a spec names ------------------------------------------------------------------------------------------


def with_file(folder, content=SOFTSIGN, name="bent.py", **tables):
    """A spec file beside that of a neuron."""
    import tomli_w

    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8")
    network = {**TINY["network"], "neuron": name.removesuffix(".py")}
    (folder / "mine.toml").write_text(tomli_w.dumps({**TINY, "network": network, "models": {"neurons": [name]}, **tables}))
    return folder / "mine.toml"


def test_a_file_that_a_spec_names_is_a_model(tmp_path, afresh):
    """Its path starts from the spec's folder; the run keeps a copy, its SHA-256, and goes on with the copy."""
    found = spec.load(str(with_file(tmp_path / "a")))
    assert found.models == {"neurons": [str(tmp_path / "a" / "bent.py")]}
    run = train.run(found, tmp_path / "run")
    assert (run.folder / "models" / "neurons" / "bent.py").read_text(encoding="utf-8") == SOFTSIGN
    file = registry.read(tmp_path / "a" / "bent.py")
    assert run.info["models"] == {"neurons": {"bent": {"file": str(file.path), "sha256": file.sha256}}}
    assert not list(tmp_path.rglob("__pycache__"))
    again = spec.load(str(run.folder / "spec.toml"))
    assert again.models == {"neurons": [str(run.folder.resolve() / "models" / "neurons" / "bent.py")]}
    trained = run.metrics[-1]["train_loss"]
    replaced = train.run(again, run.folder, force=True)
    assert replaced.metrics[-1]["train_loss"] == trained
    assert (run.folder / "models" / "neurons" / "bent.py").read_text(encoding="utf-8") == SOFTSIGN


DISTANCE = '''"""Linear units that are measured by the mean squared difference."""
from localdfa.outputs import Measure
from localdfa.outputs.linear import Linear


class Distance(Linear):
    measures = (Measure("squared", "squared difference"), Measure("r2", "R²"))

    @staticmethod
    def measured(total, target):
        found = Linear.measured(total, target)
        return {"squared": found["rmse"] ** 2, "r2": found["r2"]}


model = Distance
'''


def test_what_is_said_of_models_knows_those_that_are_taken_in_later(tmp_path, afresh):
    """Hints in messages, the columns of metrics and the headings of tables, all of which were asked for before."""
    for wrong in ({"network": "nothing"}, {"nothing": 1}):
        with pytest.raises(SpecError):
            spec.experiment(wrong)
    assert "squared" not in outputs.measures()
    assert summary.heading("test_error")
    margin = (PLUGIN / "example_models" / "margin.py").read_text(encoding="utf-8")
    for name, content in (("bent", SOFTSIGN), ("margin", margin), ("distance", DISTANCE)):
        (tmp_path / f"{name}.py").write_text(content, encoding="utf-8")
    own = {family: [str(tmp_path / f"{name}.py")] for family, name in (("neurons", "bent"), ("recorders", "margin"))}
    spec.experiment({"network": {"neuron": "bent"}, "record": {"margin": 3}, "models": own})
    with pytest.raises(SpecError, match=r'did you mean `network\.neuron = "bent"`'):
        spec.experiment({"network": "bent"})
    with pytest.raises(SpecError, match=r"did you mean `record\.margin = 3`"):
        spec.experiment({"margin": 3})
    x = np.random.default_rng(0).normal(size=(40, 3))
    tables = {**TINY, "network": {"hidden": [4], "output": "distance"}, "models": {"outputs": [str(tmp_path / "distance.py")]}}
    run = train.run(tables, tmp_path / "run", data=(x, x.sum(1)), progress=False)
    assert run.metrics[-1]["train_squared"] > 0
    assert summary.heading("train_squared") == "train squared difference"


def test_a_pathway_of_one_s_own_may_refuse_an_output(tmp_path, afresh):
    """Before data are read or a folder is made, with what it says; where it says nothing it is taken."""
    signs = (PLUGIN / "example_models" / "signs.py").read_text(encoding="utf-8")
    refuses = """
    @staticmethod
    def refusal(setting):
        if setting.network.output == "softmax":
            return None
        return f"reads one-hot targets of network.output = 'softmax', not {setting.network.output!r}; allowed: 'softmax'"
"""
    (tmp_path / "picky.py").write_text(signs.replace("    in_time = False", refuses + "    in_time = False"), encoding="utf-8")
    tables = {**TINY, "data": "npz:nowhere.npz", "models": {"feedback": [str(tmp_path / "picky.py")]}}
    tables["feedback"] = {"pathway": "picky"}
    with pytest.raises(
        SpecError, match=r"feedback\.pathway: 'picky', under rule = 'local', reads one-hot .*'logistic'; allowed"
    ):
        train.run(tables, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert spec.experiment({**tables, "network": {"hidden": [4], "output": "softmax"}})


def test_a_rate_neuron_without_a_time_constant_settles_at_once(tmp_path, afresh):
    """The same bits as one that has the parameter tau and leaves it at 0; and it has no tau to be given."""
    without = "\n".join(line for line in SOFTSIGN.splitlines() if "tau" not in line)
    assert "tau" not in without
    run = train.run(spec.load(str(with_file(tmp_path / "a", without, "prompt.py"))), tmp_path / "without")
    other = train.run(spec.load(str(with_file(tmp_path / "b"))), tmp_path / "with")
    assert run.metrics[-1]["train_loss"] == other.metrics[-1]["train_loss"] != run.metrics[0]["train_loss"]
    with pytest.raises(SpecError, match=r"neuron\.tau: a parameter of prompt 'tau': it has none"):
        spec.load(str(with_file(tmp_path / "a", without, "prompt.py", neuron={"tau": 5.0})))


def test_a_time_constant_that_is_left_out_is_that_of_the_model(tmp_path, afresh):
    slow = SOFTSIGN.replace("= 0.0", "= 5.0", 1)
    (setting,) = spec.settings(spec.load(str(with_file(tmp_path, slow, "slow.py")))).values()
    assert setting.timed
    assert setting.engine_of("local") == "timed"
    assert setting.phases.free >= 8 * 5
    assert setting.network.threshold == 0.01


def test_what_a_run_brings_is_not_executed_unasked(tmp_path, afresh):
    """Its own process has executed it; another one only if it is allowed, and only if it is what the run began with."""
    ran = f"import pathlib\npathlib.Path({str(tmp_path / 'executed')!r}).touch()\n"
    path = with_file(tmp_path / "a", SOFTSIGN.replace("import math\n", f"import math\n{ran}"))
    run = train.run(spec.load(str(path)), tmp_path / "run")
    (tmp_path / "executed").unlink()
    forgotten()
    for words in (("report", "run"), ("plot", "run"), ("resume", "run"), ("watch", "run"), ("certify", "run")):
        done = python("-m", "localdfa", *words, within=tmp_path)
        assert done.returncode == 1
        assert "needs the model" in done.stderr
        assert "models/neurons/bent.py" in done.stderr
        assert "--allow-models" in done.stderr
    with pytest.raises(RunError, match="not executed unasked"):
        record.Run(run.folder)
    following = spec.experiment({**TINY, "network": {"hidden": [4], "from_run": f"{run.folder}/local"}})
    with pytest.raises(RunError, match="not executed unasked"):
        train.run(following, tmp_path / "next")
    assert not (tmp_path / "executed").exists()
    done = python("-m", "localdfa", "plot", "run", "--figure", "errors", "--allow-models", within=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "executed").exists()
    (tmp_path / "executed").unlink()
    copy = run.folder / "models" / "neurons" / "bent.py"
    copy.write_text(copy.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(RunError, match="no longer the one that this run began with"):
        record.Run(run.folder, allow_models=True)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tanh.py", SOFTSIGN, r"models\.neurons: .*tanh\.py: the name 'tanh' stands for another model already, localdfa/neu"),
        ("bent.py", "x = 1\n", r"bent\.py: it sets no `model`"),
        ("bent.py", "x = 1\n1 / 0\n", r"bent\.py, line 2: ZeroDivisionError"),
        ("bent.py", "x = = 1\n", r"bent\.py.*: SyntaxError"),
        ("bent.py", "raise SystemExit(3)\n", r"bent\.py, line 1: SystemExit: 3"),
        ("_bent.py", SOFTSIGN, r"_bent\.py: its name is that of a model"),
        ("be-nt.py", SOFTSIGN, r"be-nt\.py: its name is that of a model"),
        ("bent.txt", SOFTSIGN, r"bent\.txt: there is no such Python file"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_model_is_refused(tmp_path, afresh, name, content, message):
    with pytest.raises(SpecError, match=message):
        spec.load(str(with_file(tmp_path, content, name)))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"neuron": ["x.py"]}, r"unknown key models\.neuron: .* did you mean 'neurons'"),
        ({"neurons": "x.py"}, r"models\.neurons: 'x\.py' is not allowed: .*list"),
        ({"neurons": [3]}, r"models\.neurons\[0\]: 3 is not allowed"),
        ({"neurons": ["\0.py"]}, r"models\.neurons"),
        (3, r"models: 3 is not allowed"),
        ({"neurons": ["not there.py"]}, r"there is no such Python file"),
    ],
)  # fmt: skip
def test_a_table_of_models_that_is_wrong_is_refused(models, message):
    with pytest.raises(SpecError, match=message):
        spec.experiment({**TINY, "models": models})


def test_a_name_stands_for_one_model_as_long_as_a_process_lives(tmp_path, afresh):
    first = with_file(tmp_path / "a")
    spec.load(str(first))
    spec.load(str(with_file(tmp_path / "b")))  # the same elsewhere
    other = SOFTSIGN.replace("v / (1 + abs(v))", "v / (2 + abs(v))")
    with pytest.raises(
        SpecError, match=r"c/bent\.py: the name 'bent' stands for another model already, .*a/bent\.py; begin a new"
    ):
        spec.load(str(with_file(tmp_path / "c", other)))
    with_file(tmp_path / "a", other)
    with pytest.raises(SpecError, match="as it was when this process took it in; begin a new process"):
        spec.load(str(first))


EDITED = """
import sys
from localdfa import registry, spec, train
run = train.run(spec.load("mine.toml"), sys.argv[1], progress=False)
from localdfa.core.rate.activation import activation
found = activation(registry.get("neurons", "bent"))
print(run.jobs[0].weights["W1"].tobytes().hex()[:400], sum(found.stats.cache_hits.values()))
"""


def test_kernels_of_an_edited_file_are_compiled_anew(tmp_path):
    """A second process takes the first one's kernels; once the file is edited it does not."""
    with_file(tmp_path)

    def run(name):
        done = python("-c", EDITED, name, within=tmp_path, LOCALDFA_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    (first, _), (second, hits) = run("first"), run("second")
    assert second == first
    assert int(hits) > 0
    of_half = SOFTSIGN.replace("(1 + abs(v))", "(2 + abs(v))").replace("return 1 /", "return 2 /")
    with_file(tmp_path, of_half.replace("return h /", "return 2 * h /"))
    edited, hits = run("edited")
    assert edited != first
    assert hits == "0"
