"""Three processes that begin, replace or resume one run directory at the same moment: as if one had come after the other."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

CONTEST = Path(__file__).parent / "contest.py"
ROUNDS = 40
LEFT = ["conditions", "run.json", "run.lock", "spec.toml", "summary.json"]


def contests(kind, task, rounds, seed, place):
    """What came of each round; see `contest.py`."""
    done = subprocess.run(
        [sys.executable, CONTEST, kind, task, str(rounds), str(seed), place],
        capture_output=True,
        text=True,
        timeout=60 + 20 * rounds,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def allowed(found):
    """Whether a round ended as it may: somebody has trained, nobody beside another, and the folder is the last one's."""
    trained = sorted((each for each in found["said"] if each["said"].startswith("trained")), key=lambda each: each["end"])
    others = [each for each in found["said"] if each not in trained]
    forced = any(each["what"] == "force" for each in found["said"])
    whose = [int(each["said"].removeprefix("trained ")) for each in trained]
    return (
        len(found["said"]) == 3
        and found["hung"] == 0
        and (len(trained) == 1 or (forced and trained))
        and all(
            "another process trains this run" in each["said"] or (each["what"] == "run" and "exists already" in each["said"])
            for each in others
        )
        and all(each["what"] == "resume" or seed == each["who"] for each, seed in zip(trained, whose, strict=True))
        and all(one["end"] <= other["begin"] for one, other in pairwise(trained))
        and (found["status"], found.get("seed"), found.get("epochs"), found.get("files"))
        == ("finished", whose[-1], [found["planned"]], LEFT)
    )


@pytest.fixture
def rounds(attack_size):
    """How many of each kind."""
    return attack_size or ROUNDS


@pytest.mark.slow
@pytest.mark.parametrize("task", ["run-run-run", "force-force-force", "force-resume-force", "run-resume-force"])
def test_a_run_directory_is_one_process_at_a_time(task, rounds, tmp_path):
    found = contests("races", task, rounds, 1, tmp_path)
    assert len(found) == rounds
    assert [each for each in found if not allowed(each)] == []


@pytest.mark.slow
@pytest.mark.parametrize("task", ["begin", "replace"])
def test_a_run_that_is_killed_goes_on_to_the_same_bits(task, rounds, tmp_path):
    """Also where the kill falls into a resumed run, or between the end of the old run and the beginning of the new one."""
    whole, *found = contests("kills", task, rounds, 2, tmp_path)
    expected = {"trained 0": whole["whole"], "trained 99": whole["replaced"]}
    assert len(found) == rounds
    for each in found:
        assert {key: each[key] for key in ("arrays", "rows", "files")} == expected[each["said"]], each["moments"]
    assert {each["said"] for each in found} <= ({"trained 0", "trained 99"} if task == "replace" else {"trained 0"})
