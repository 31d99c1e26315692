"""Contests for one run directory: processes that begin, replace or resume it at the same moment, or are killed in it.

A script, started with ``python contest.py races|kills TASK ROUNDS SEED FOLDER``, which prints one JSON line a round. It trains
once, so that everything is compiled, and then forks every contestant: a training of three epochs takes it a tenth of a second.
Numba's own threads (the layer `workqueue`), unlike those of GNU OpenMP, outlive a fork.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

os.environ["NUMBA_THREADING_LAYER"] = "workqueue"

from localdfa import record, spec, train

_CONTEXT = multiprocessing.get_context("fork")
# For so long, s, a contestant may take; one that takes longer hangs.
_LIMIT = 60


def tables(seed, epochs=3):
    """A tiny experiment; which of the contestants began a run is read from its seed."""
    return spec.experiment(
        seeds=[seed], network={"hidden": [4]}, stage=[{"epochs": epochs}], batch_size=512, record={"probe": 8, "activity": 8},
    )  # fmt: skip


class Course(train.Progress):
    """Between which moments a contestant trained."""

    def __init__(self):
        self.begin = self.end = None

    def job(self, condition, seed):
        self.begin = time.monotonic()

    def advance(self, samples):
        self.end = time.monotonic()

    def skip(self, condition, samples):
        self.end = time.monotonic()


def act(what, who, folder, epochs=3):
    """Begin, replace or resume; what came of it, and between which moments there was training."""
    course = Course()
    try:
        if what == "resume":
            run = train.resume(folder, course)
        else:
            run = train.run(tables(who, epochs), folder, force=what == "force", progress=course)
        said = f"trained {run.experiment.seeds[0]}"
    except Exception as error:  # also a traceback is an outcome, though never an allowed one
        said = f"{type(error).__name__}: {error}"
    return {"who": who, "what": what, "said": said, "begin": course.begin, "end": course.end}


def _contestant(barrier, answers, what, who, folder, delay, epochs):
    barrier.wait()
    time.sleep(delay)
    answers.put(act(what, who, folder, epochs))


def race(folder, actions, delays, epochs):
    """What each of the contestants says that act on one folder, released together, each after its delay, s."""
    barrier, answers = _CONTEXT.Barrier(len(actions)), _CONTEXT.SimpleQueue()
    started = [
        _CONTEXT.Process(target=_contestant, args=(barrier, answers, what, who, folder, delay, epochs))
        for who, (what, delay) in enumerate(zip(actions, delays, strict=True))
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(_LIMIT)
    hung = [process.kill() for process in started if process.is_alive()]
    said = []
    while not answers.empty():
        said.append(answers.get())
    return {"said": sorted(said, key=lambda each: each["who"]), "hung": len(hung), "planned": epochs, **state(folder)}


def state(folder):
    """How a run directory is left: its status, whose it is, whether it can be resumed, and what lies in it."""
    try:
        run = record.Run(folder)
        found = {"status": run.status, "seed": run.experiment.seeds[0]}
        run = train.resume(folder)
        found |= {"epochs": [job.metrics[-1]["epoch"] for job in run.jobs]}
    except Exception as error:
        found = {"status": f"{type(error).__name__}: {error}"}
    return {**found, "files": sorted(path.name for path in folder.iterdir())}


def _killed(what, folder, epochs):
    act(what, 0, folder, epochs)


def kill(folder, moments, epochs, replacing):
    """Begin a run, or replace one, and kill that after so many seconds, resume it and kill that …, and resume it to the end."""
    if replacing:
        train.run(tables(99, 1), folder)
    for number, moment in enumerate([*moments, None]):
        what = "force" if replacing and number == 0 else "resume" if (folder / "spec.toml").exists() else "run"
        if moment is None:
            said = act(what, 0, folder, epochs)["said"]
            return {"said": said, "moments": moments, **everything(folder)}
        process = _CONTEXT.Process(target=_killed, args=(what, folder, epochs))
        process.start()
        process.join(moment)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()


def everything(folder):
    """All arrays, as a checksum of their bytes, and the metrics without times; and which files there are."""
    (job,) = record.Run(folder).jobs
    kept = {name: getattr(job, name) for name in ("weights", "outcome", "activity")}
    arrays = {
        f"{name}.{key}": hashlib.sha256(array.tobytes()).hexdigest()
        for name, found in kept.items()
        for key, array in found.items()
    }
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in job.metrics]
    return {"arrays": arrays, "rows": rows, "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))}


def main(kind, task, rounds, seed, place):
    rng, place = random.Random(f"{task}{seed}"), Path(place)
    for folder in ("compiling", "whole"):
        began = time.monotonic()
        train.run(tables(0, 12), place / folder)
    whole = time.monotonic() - began
    if kind == "kills":
        train.run(tables(99, 1), place / "replaced")
        print(json.dumps({name: everything(place / name) for name in ("whole", "replaced")}))
    for number in range(int(rounds)):
        folder = place / f"{number}"
        if kind == "races":
            # Some trainings last longer than anybody waits for the folder.
            actions, epochs = task.split("-"), rng.choice([2, 8, 24])
            if "resume" in actions:
                _interrupted(folder, epochs)
            elif "force" in actions and number % 2:
                train.run(tables(99, 1), folder)
            result = race(folder, actions, [rng.choice([0, rng.random() * whole]) for _ in actions], epochs)
        else:
            moments = [rng.random() * whole * 1.2 for _ in range(rng.randint(1, 4))]
            if task == "replace":  # the first moments are those of replacing
                moments = [rng.random() * whole / 3]
            result = kill(folder, moments, 12, task == "replace")
        print(json.dumps(result), flush=True)
        shutil.rmtree(folder)


class _Stop(train.Progress):
    def epoch(self, row):
        if row["epoch"] == 1:
            raise KeyboardInterrupt


def _interrupted(folder, epochs):
    with contextlib.suppress(KeyboardInterrupt):
        train.run(tables(50, epochs), folder, progress=_Stop())


if __name__ == "__main__":
    main(*sys.argv[1:])
