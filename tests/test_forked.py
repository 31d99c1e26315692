"""Pools of processes: forked ones say why they cannot simulate, spawned ones do."""

import multiprocessing

import numpy as np
import pytest

from localdfa import spec, train
from localdfa.errors import ForkError


def sweep(folder, seed):
    """One run of a sweep; the module is imported by the processes that do it."""
    tables = {"network": {"hidden": [4]}, "stage": [{"epochs": 1}], "batch_size": 256, "record": {"probe": 16}}
    return train.run(spec.experiment(tables, seeds=[seed]), folder / f"{seed}").folder


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
def test_a_forked_process_says_why_it_cannot_simulate(tmp_path):
    """In place of the end of the process, for which a pool waits for ever."""
    sweep(tmp_path, 0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        asked = pool.starmap_async(sweep, [(tmp_path, 1)])
        with pytest.raises(ForkError, match=r"get_context\('spawn'\)"):
            asked.get(timeout=60)
    assert not (tmp_path / "1").exists()


@pytest.mark.slow
def test_a_sweep_by_a_pool_of_spawned_processes(tmp_path):
    (tmp_path / "here").mkdir()
    alone = train.record.Run(sweep(tmp_path / "here", 0))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = pool.starmap_async(sweep, [(tmp_path, seed) for seed in range(3)]).get(timeout=300)
    runs = [train.record.Run(folder) for folder in folders]
    assert [run.status for run in runs] == ["finished"] * 3
    for name, array in alone.jobs[0].weights.items():
        np.testing.assert_array_equal(array, runs[0].jobs[0].weights[name])
