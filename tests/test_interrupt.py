"""Ctrl-C while kernels are compiled and while they run."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from spiking_cases import case, samples
from test_figures_degenerate import made

from localdfa import cli, jobs, record, spec, train
from localdfa import network as networks
from localdfa.analysis import report
from localdfa.core import interrupt
from localdfa.core.rate import timed
from localdfa.core.spiking import batch as spikes

# Seconds within which Ctrl-C is heard. Compiling takes some times as long, even where nothing else runs.
SOON = 4.0

COMPILING = """
import sys

import numpy as np

from localdfa import network as networks
from localdfa import spec
from localdfa.core.rate import settled, timed
from localdfa.core.spiking import batch as spikes

def build(**tables):
    setting = spec.experiment(network={"hidden": [3], "weights": "uniform", **tables.pop("network", {})}, **tables)
    return networks.build(setting, 3, 2, 0), setting, np.ones((1, 4), np.float32)

spiking = build(network={"hidden": [3, 3], "neuron": "alif", "tau_syn": 3.0}, phases={"free": 400.0})
relaxing = build(neuron={"tau": 10.0}, network={"threshold": 1e-3}, phases={"gate": 1.0})
still, _, inputs = build()
for work in (lambda: spikes.simulate(*spiking), lambda: timed.simulate(*relaxing), lambda: settled.free_phase(still, inputs)):
    print("compiling", flush=True)
    try:
        work()
        print("done", flush=True)
    except KeyboardInterrupt:
        print("heard", flush=True)
"""


@pytest.fixture
def nothing_compiled(tmp_path):
    """An environment without compiled kernels on disk."""
    return {**os.environ, "LOCALDFA_CACHE": str(tmp_path / "kernels")}


def test_ctrl_c_is_heard_while_kernels_are_compiled(nothing_compiled):
    """Spiking, in time and settled; and the process can end meanwhile."""
    command = [sys.executable, "-c", COMPILING]
    with subprocess.Popen(command, env=nothing_compiled, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            assert process.stdout.readline() == "compiling\n"
            time.sleep(1)
            sent = time.perf_counter()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "heard\n"
            assert time.perf_counter() - sent < SOON
        assert process.wait(SOON) == 0


@pytest.mark.slow
def test_ctrl_c_at_the_command_line_while_kernels_are_compiled_leaves_a_run_that_goes_on(nothing_compiled, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'batch_size = 1000\n[network]\nhidden = [12]\nneuron = "lif"\n[phases]\nfree = 320.0\n[[stage]]\nepochs = 1\n'
    )
    command = [sys.executable, "-m", "localdfa", "run", "mine.toml", "--out", "out"]
    begun = {"cwd": tmp_path, "env": nothing_compiled, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **begun) as process:
        try:
            since = time.perf_counter()
            # How long the first kernels take is not for this test to say: minutes, where others compute as well.
            while not (tmp_path / "out/run.json").is_file() or '"running"' not in (tmp_path / "out/run.json").read_text():
                assert process.poll() is None
                assert time.perf_counter() - since < 600
                time.sleep(0.1)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=SOON)
        finally:
            process.kill()  # where it goes on
    assert process.returncode == 130
    assert "interrupted; go on with: localdfa resume out" in output.decode()
    assert "Traceback" not in output.decode()
    assert record.Run(tmp_path / "out").info["status"] == "interrupted"
    assert train.resume(tmp_path / "out").info["status"] == "finished"


@pytest.mark.parametrize("again", [False, True])
def test_after_ctrl_c_the_report_is_said_to_be_drawn_and_a_second_one_leaves_it_out(again, tmp_path, monkeypatch):
    run = made(tmp_path / "run")
    jobs.summarise(run)
    drawn = []

    def interrupted(experiment, out, *, progress, **_):
        progress.place(run.folder)
        raise KeyboardInterrupt

    def write(opened):
        drawn.append(opened)
        if again:
            raise KeyboardInterrupt
        return run.folder / "report.html"

    monkeypatch.setattr(train, "run", interrupted)
    monkeypatch.setattr(report, "write", write)
    done = CliRunner().invoke(cli.main, ["run", "mnist"])
    assert done.exit_code == 130
    first, second, *rest = done.stdout.splitlines()
    assert first == f"interrupted; go on with: localdfa resume {run.folder}"
    assert second == "drawing the report of what there is; Ctrl-C leaves it out"
    assert len(drawn) == 1
    assert (rest == ["no report"]) is again
    assert again or rest[-1] == f"report: {run.folder / 'report.html'}"


def interrupted(work):
    """Seconds from Ctrl-C, half a second after `work` has begun, to its end."""
    sent = []

    def press():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, press)
    # Python's own handler, whatever another test has put there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        timer.cancel()  # where `work` was over before
        timer.join()
        signal.signal(signal.SIGINT, before)
    return time.perf_counter() - sent[0]


def test_ctrl_c_is_heard_in_a_long_trial():
    setting, network = case()
    spikes.simulate(network, setting, *samples(), np.random.default_rng(0))  # compiled by now
    long = setting.model_copy(update={"phases": setting.phases.model_copy(update={"free": 1e7})})
    inputs, _ = samples(8)
    assert interrupted(lambda: spikes.simulate(network, long, inputs, rng=np.random.default_rng(0))) < SOON
    assert interrupted(lambda: spikes.record(network, long, inputs[0], rng=np.random.default_rng(0))) < SOON


def test_ctrl_c_is_heard_in_a_long_trial_of_graded_events():
    setting = spec.experiment(
        precision="float64", neuron={"tau": 10.0}, network={"hidden": [60, 60], "weights": "uniform", "threshold": 1e-5},
        phases={"gate": 1.0},
    )  # fmt: skip
    network, inputs = networks.build(setting, 3, 2, 0), np.ones((1, 4))
    coarse = setting.model_copy(update={"network": setting.network.model_copy(update={"threshold": 0.1})})
    timed.simulate(network, coarse, inputs)  # compiled by now
    assert interrupted(lambda: timed.simulate(network, setting, np.repeat(inputs, 32, axis=0))) < SOON


def test_threads_end_when_one_of_them_fails():
    def work(fails, cancelled):
        while not cancelled[0]:
            if fails:
                raise ValueError("one of them")
            time.sleep(0.01)

    with pytest.raises(ValueError, match="one of them"), interrupt.threads(2) as (pool, cancelled):
        list(pool.map(work, (True, False), (cancelled, cancelled)))
