"""Models that lack a hook, misspell one, or are of another family are refused by name before anything is trained."""

import itertools
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from localdfa import cli, record, recorders, registry, spec
from localdfa.errors import SpecError

ROOT = Path(registry.__file__).parent
NEURON = (ROOT / "neurons" / "relu.py").read_text(encoding="utf-8")
SPIKING = (ROOT / "neurons" / "qif.py").read_text(encoding="utf-8")
OPTIMISER = (ROOT / "optimisers" / "sgd.py").read_text(encoding="utf-8")
RULE = (ROOT / "rules" / "erbp.py").read_text(encoding="utf-8")
EXACT = (ROOT / "rules" / "dfa.py").read_text(encoding="utf-8")
NUDGED = (ROOT / "rules" / "local.py").read_text(encoding="utf-8")
OUTPUT = (ROOT / "outputs" / "linear.py").read_text(encoding="utf-8")
CODE = (ROOT / "inputs" / "poisson.py").read_text(encoding="utf-8")
PATHWAY = (ROOT / "feedback" / "direct.py").read_text(encoding="utf-8")
DRTP = (ROOT / "feedback" / "drtp.py").read_text(encoding="utf-8")
RECORDER = (ROOT / "recorders" / "outcome.py").read_text(encoding="utf-8")
OWN_SIGNAL = """follows_error = False

    @staticmethod
    def signal(network, l, carried, change, out, route=()):
        out[:] = carried[:, :1] ** 2
"""


@pytest.fixture(autouse=True)
def _no_files(monkeypatch):
    monkeypatch.setattr(registry, "_files", {})


# Each file has a name of its own, for a process remembers what a name stands for.
NUMBERS = itertools.count()


def refusal(folder, family, text):
    path = folder / f"mine{next(NUMBERS)}.py"
    path.write_text(text, encoding="utf-8")
    registry.add(family, path)
    with pytest.raises(SpecError) as caught:
        registry.get(family, path.stem)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("family", "text", "was", "becomes", "says"),
    [
        ("neurons", NEURON, "def inverse(p, h)", "def inverted(p, h)", ["did you mean 'inverse'", "'inverse' is missing"]),
        ("neurons", NEURON, "flat_at_zero", "flat_at_0", ["nothing reads 'flat_at_0'; did you mean 'flat_at_zero'"]),
        ("neurons", NEURON, "def f(p, v)", "def f(p, v, u)", ["'f' takes (p, v, u), and is called as f(p, v)"]),
        ("neurons", NEURON, "@njit\n    def df", "def df", ["'df' is not compiled with numba.njit"]),
        ("neurons", NEURON, "def pytorch(p)", "def pytorch()", ["'pytorch' takes (), and is called as pytorch(p)"]),
        ("neurons", NEURON, "return 1 if v > 0 else 0", "return 5 if v > 0 else 0",
         ["'df' has to be the slope of 'f', which is 1 at v = 0.01", "and is 5 with tau = 0.0"]),
        ("neurons", NEURON, "return 1 if v > 0 else 0", "return math.nan", ["'df' has to be the slope", "and is nan"]),
        ("neurons", NEURON, "return v if v > 0 else v * 0", "return -v", ["'f' has to rise or stay, and falls from 4.98"]),
        ("neurons", NEURON, "return v if v > 0 else v * 0", "return math.sin(v)", ["'f' has to rise or stay, and falls"]),
        ("neurons", NEURON, "return h if", "return 2 * h if", ["'inverse' has to be 0.0137 of f(0.0137)", "and is 0.0274"]),
        ("neurons", NEURON, "return v if v > 0", "return p.k if v > 0", ["'f' fails: 'ReLU' object has no attribute 'k'"]),
        ("neurons", NEURON, "return 1 if", "return one if", ["'df' fails: name 'one' is not defined"]),
        ("neurons", NEURON, "return v if v > 0 else v * 0", "return [v]", ["'f' has to give a number, and gives [-4.98"]),
        ("neurons", SPIKING, "by_drive = 0.5 *", "by_drive = 0.6 *", ["'df' has to be the slope of 'f'", "tau_m = 10.0"]),
        ("neurons", SPIKING, "def wait", "def waits", ["did you mean 'wait'", "'wait' is missing"]),
        ("neurons", SPIKING, "t_ref: A", "t_refractory: A", ["the parameter 't_ref' is missing"]),
        ("neurons", SPIKING, "adapts = False", "adapts = True", ["'adapts' is true"]),
        ("neurons", OPTIMISER, "", "", ["'row'", "'f' is missing"]),
        ("neurons", RULE, "", "", ["is no NamedTuple of parameters"]),
        ("optimisers", OPTIMISER, "rests", "rest", ["did you mean 'rests'", "'rests' is missing"]),
        ("optimisers", NEURON, "", "", ["the parameter 'learning_rate' is missing"]),
        ("rules", NEURON, "", "", ["is no class of a rule"]),
        ("rules", RULE, "at_arrival", "at_arrivals", ["did you mean 'at_arrival'"]),
        ("rules", NUDGED, "signal: np.ndarray, change: np.ndarray", "change: np.ndarray, signal: np.ndarray",
         ["'hidden' takes (self, l, free, moved, change, signal), and is called as", ": 'change' stands in another place"]),
        ("optimisers", OPTIMISER, "(p, w, g, state", "(p, g, w, state", ["'row' takes (p, g, w, state", ": 'g' stands in"]),
        ("rules", RULE, "in_activity", "_in_activity", ["'in_activity' is missing"]),
        ("rules", RULE, '("spiking",)', '("spikes",)', ["'engines' is ('spikes',)"]),
        ("rules", RULE, 'own = "direct"', 'own = "directly"', ["'own': 'directly' is not one of", "did you mean 'direct'"]),
        ("rules", EXACT, "Exact):", 'Exact):\n    engines = ("timed",)', ["'postsynaptic' is missing"]),
        ("rules", RULE, "def refusal", "def refuses", ["'Parameters': nothing reads 'refuses'; did you mean 'refusal'"]),
        ("rules", RULE, "def refusal(self)", "def refusal(self, v)", ["'Parameters': 'refusal' takes (self, v)"]),
        ("outputs", OUTPUT, "def loss", "def losses", ["did you mean 'loss'", "'loss' is missing"]),
        ("outputs", CODE, "", "", ["'predict' is missing"]),
        ("inputs", CODE, "def unit", "def units", ["did you mean 'unit'"]),
        ("inputs", CODE, "def trains", "def _trains", ["'trains' is missing"]),
        ("inputs", OUTPUT, "", "", ["is no subclass of localdfa.inputs._code.Code"]),
        ("feedback", PATHWAY, "in_time", "in_times", ["did you mean 'in_time'"]),
        ("feedback", DRTP, "def refusal", "def refuses", ["did you mean 'refusal'"]),
        ("feedback", DRTP, "def refusal(setting:", "def refusal(setting, v:", ["'refusal' takes (setting, v)"]),
        ("feedback", PATHWAY, "def replaces", "def _replaces", ["'replaces' is missing"]),
        ("feedback", DRTP, "follows_error = False", OWN_SIGNAL, ["'in_time' comes; say whether it works in time"]),
        ("feedback", CODE, "", "", ["is no subclass of localdfa.feedback._pathway.Pathway"]),
        ("recorders", RECORDER, "def record(", "def recorded(", ["did you mean 'record'", "'record' is missing"]),
        ("data", "model = 3", "", "", ["3 is no function"]),
        ("data", "def model(path): ...", "", "", ["takes path, and is called without arguments"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(family, text, was, becomes, says, tmp_path):
    assert was in text
    found = refusal(tmp_path, family, text.replace(was, becomes, 1) if was else text)
    for words in says:
        assert words in found


CURVED = """
from typing import NamedTuple
import numpy as np
from numba import njit

@njit
def _of(p, v):
    return CURVE

class Own(NamedTuple):
    k: float = 1.0
    @njit
    def f(p, v): return _of(p, v)
    @njit
    def df(p, v): return SLOPE
    @njit
    def inverse(p, h): return INVERSE

model = Own
"""


@pytest.mark.parametrize(
    ("curve", "slope", "inverse"), [
        ("np.log1p(np.exp(p.k * v)) / p.k", "1 / (1 + np.exp(-p.k * v))", "np.log(np.expm1(p.k * h)) / p.k"),
        ("np.float32(np.tanh(np.float32(p.k * v)))", "p.k * (1 - np.tanh(p.k * v) ** 2)", "np.arctanh(h) / p.k"),
        ("min(max(v + 0.5, 0.0), 1.0)", "1.0 if -0.5 < v < 0.5 else 0.0", "h - 0.5"),
        ("np.sign(v) * np.sqrt(abs(v))", "0.5 / np.sqrt(abs(v))", "np.sign(h) * h * h"),
        ("np.exp(p.k * v)", "p.k * np.exp(p.k * v)", "np.log(h) / p.k if h > 0 else -np.inf"),
        ("1e-6 * np.arctan(v)", "1e-6 / (1 + v * v)", "np.tan(1e6 * h)"),
    ],
)  # fmt: skip
def test_a_neuron_with_kinks_saturation_or_rounding_is_taken_and_nothing_is_compiled(curve, slope, inverse, tmp_path):
    path = tmp_path / f"mine{next(NUMBERS)}.py"
    path.write_text(CURVED.replace("CURVE", curve).replace("SLOPE", slope).replace("INVERSE", inverse), encoding="utf-8")
    registry.add("neurons", path)
    model = registry.get("neurons", path.stem)
    assert not any(hook.signatures for hook in (model.f, model.df, model.inverse))


def test_a_slope_that_is_right_for_the_default_of_a_parameter_alone_is_named(tmp_path):
    text = CURVED.replace("CURVE", "np.tanh(p.k * v)").replace("SLOPE", "1 - np.tanh(p.k * v) ** 2")
    found = refusal(tmp_path, "neurons", text.replace("INVERSE", "np.arctanh(h) / p.k"))
    assert "'df' has to be the slope of 'f'" in found
    assert "k = 2.0" in found


@pytest.mark.parametrize(
    ("family", "asks"), [
        ("rules", 'rule = "strange"'), ("optimisers", 'optimiser.name = "strange"'), ("outputs", 'network.output = "strange"'),
        ("data", 'data = "strange"'), ("recorders", "record.strange = 3"), ("feedback", 'feedback.pathway = "strange"'),
    ],
)  # fmt: skip
def test_a_file_of_another_family_ends_in_a_message_at_the_command_line(family, asks, tmp_path):
    (tmp_path / "strange.py").write_text(NEURON, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(f'models.{family} = ["strange.py"]\n{asks}\n', encoding="utf-8")
    registry.get.cache_clear()
    done = CliRunner().invoke(cli.main, ["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "run")])
    registry.get.cache_clear()
    assert done.exit_code == 1
    assert "strange.py cannot be used among the" in done.output
    assert not (tmp_path / "run").exists()


def test_no_recorder_is_named_like_what_a_run_has_of_itself(tmp_path):
    job = record.Job(tmp_path, "local", 0)
    own = {name for name in object.__dir__(job) if not name.startswith("_")}
    assert own == {*recorders.TAKEN}
    (tmp_path / "metrics.py").write_text(RECORDER, encoding="utf-8")
    (tmp_path / "mine.toml").write_text('models.recorders = ["metrics.py"]\nrecord.metrics = 3\n')
    with pytest.raises(SpecError, match="'metrics' is what a run has of itself"):
        spec.load(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("tables", "says"), [
        ({"input": {"rate": 50.0}}, "input.rate: 50.0 is read by the code 'poisson', not by input.code = 'current'"),
        ({"input": {"code": "poisson", "window": 20.0}, "network": {"neuron": "lif"}}, "input.window: 20.0 is read"),
        ({"input": {"code": "latency", "step": 0.2}, "network": {"neuron": "lif"}}, "= 'latency'; allowed here: 0.1"),
    ],
)  # fmt: skip
def test_what_an_input_code_does_not_read_is_refused(tables, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        spec.experiment(tables)


def test_a_file_that_no_condition_uses_is_refused(tmp_path):
    (tmp_path / "spare.py").write_text(NEURON, encoding="utf-8")
    (tmp_path / "mine.toml").write_text('models = {neurons = ["spare.py"]}\n')
    with pytest.raises(SpecError, match=r"models\.neurons: .*spare\.py: no condition uses 'spare'"):
        spec.load(str(tmp_path / "mine.toml"))
