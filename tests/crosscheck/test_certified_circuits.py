"""The certificate of circuits: what stands behind it, and that it fails where a spike is missed."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.linalg import expm

from localdfa.cli import main
from localdfa.crosscheck import circuits, exact


@pytest.mark.parametrize("awake", [True, False])
def test_the_reference_is_propagated_as_by_the_matrix_exponential(awake, rng):
    p, taus = SimpleNamespace(tau_m=10.0, v_th=1.0, v_reset=0.0, t_ref=1.0, tau_a=9.0, step=0.5), (3.0, 10.1, 12.0)
    for lapse in (1e-3, 0.7, 40.0):
        neuron, drive = exact.Neuron(p, taus, rng.normal()), rng.normal()
        neuron.state = neuron.state[0], rng.normal(size=3).tolist(), rng.random()
        flow = np.diag([-1 / 10.0, *(-1 / tau for tau in taus), -1 / 9.0, 0.0])
        flow[0, 1:4], flow[0, 5] = 1 / 10.0, drive / 10.0
        if not awake:
            flow[0] = 0
        v, currents, raised = neuron.then(awake, drive, lapse)
        expected = expm(lapse * flow) @ [neuron.state[0], *neuron.state[1], neuron.state[2], 1.0]
        np.testing.assert_allclose([v, *currents, raised], expected[:-1], rtol=1e-10, atol=1e-12)


def test_brian2_has_the_spikes_of_circuits_on_its_clock():
    """Of several circuits at once; the reference, the engine and Brian2 agree on each spike."""
    pytest.importorskip("brian2", reason="Brian2 is not installed: pip install 'localdfa[brian2]'")
    from localdfa.crosscheck import brian_circuits

    cases = [circuits.Case(circuits.KINDS["on a clock"], seed) for seed in range(5)]
    for case, theirs in zip(cases, brian_circuits.simulate(cases, circuits.STOP, circuits.DT), strict=True):
        exactly = case.expected()
        ours = circuits.trains_of(case, case.net.run(circuits.STOP))
        for trains in (exactly, theirs):
            found = circuits.compare(ours, trains)
            assert (found["missed"], found["extra"]) == (0, 0)
            assert found["largest"] < circuits.DIFFERENCE
        assert found["spikes"] > 10
        ticks = np.concatenate([train for population in exactly for train in population]) / circuits.DT
        assert (ticks == np.rint(ticks)).all()


def changed(change):
    """What differs of ten spikes by two neurons, ms, once `change` has been made to a copy."""
    theirs = [[np.array([1.0, 4.0, 9.0, 16.0, 25.0]), np.array([1.5, 2.5, 3.5, 4.5, 5.5])]]
    ours = copy.deepcopy(theirs)
    change(ours[0])
    found = {"kind": "mine", "reference": "exact", "circuits": [circuits.compare(ours, theirs)]}
    return {row["name"].rpartition(": ")[2].partition(",")[0]: row["holds"] for row in circuits.judge(found)}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (lambda trains: None, set()),
        (lambda trains: trains.__setitem__(1, np.delete(trains[1], 2)), {"missed"}),
        (lambda trains: trains.__setitem__(0, np.insert(trains[0], 2, 5.0)), {"extra"}),
        (lambda trains: trains.__setitem__(0, trains[0] + 1e-7), {"times"}),
        (lambda trains: trains.reverse(), {"missed", "extra"}),
    ],
)
def test_a_spike_that_is_missed_or_extra_or_late_fails(change, fails):
    assert {name for name, holds in changed(change).items() if not holds} == fails


def test_circuits_are_certified_on_the_command_line(tmp_path, monkeypatch):
    pytest.importorskip("brian2", reason="Brian2 is not installed: pip install 'localdfa[brian2]'")
    arguments = ["certify-circuits", "--count", "1", "--seed", "3", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "The certificate holds: all 12 tolerances." in done.output
    found = json.loads((tmp_path / "certificate.json").read_text())
    assert [(each["kind"], each["reference"], len(each["circuits"])) for each in found["compared"]] == [
        ("currents, noise, adaptation", "exact", 1), ("on a clock", "exact", 1), ("on a clock", "Brian2", 1),
    ]  # fmt: skip
    of = circuits.trains_of
    monkeypatch.setattr(circuits, "trains_of", lambda *given: [[train[1:] for train in each] for each in of(*given)])
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "The certificate fails: 3 of 12 tolerances do not hold." in done.output
    assert "on a clock, Brian2: missed: " in done.output
