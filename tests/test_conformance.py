"""The tests that every model is held to: models of a package from outside pass them, faulty ones do not."""

import re

import pytest
from test_registry import SOFTSIGN, installed, python, with_file


def conformance(within, *words, **options):
    done = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "localdfa.conformance", *words, within=within, **options
    )  # fmt: skip
    return done, set(re.findall(r"FAILED .*::(\w+)\[", done.stdout))


def test_models_of_an_installed_package_are_held_to_it(tmp_path):
    site = installed(tmp_path / "site")
    names = ("softsign", "signs", "signed", "lion", "burst", "two-bars", "margin")
    done, _ = conformance(tmp_path, "-k", " or ".join(names), "-rA", path=[site])
    assert done.returncode == 0, done.stdout
    for name in names:
        assert re.search(rf"PASSED .*\[(.*-)?{name}(-.*)?\]", done.stdout), name


DRIFTING = """\"\"\"Plain descent that drifts.\"\"\"

from typing import Annotated, NamedTuple
import numpy as np
from numba import njit
from pydantic import Field


class Drifting(NamedTuple):
    \"\"\"learning_rate: of what it learns, and of what it does not.\"\"\"

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    n_state = 0
    rests = True

    @njit
    def row(p, w, g, state, step, idle):
        for j in range(w.size):
            w[j] -= p.learning_rate * (g[j] + 0.01)


model = Drifting
"""


# Faults that are too small to be seen where a file is read, and one that is not looked for there.
@pytest.mark.parametrize(
    ("family", "name", "content", "failing"),
    [
        ("neurons", "bent", SOFTSIGN.replace("return 1 / (", "return 1.01 / ("), {"df_is_the_slope", "says_to_pytorch"}),
        ("neurons", "bent", SOFTSIGN.replace("return h / (", "return 1.005 * h / ("), {"inverse_undoes_f"}),
        ("neurons", "bent", SOFTSIGN.replace(", le=1e4", ""), {"parameters_have_bounds"}),
        ("optimisers", "drifting", DRIFTING, {"moves_nothing_from_a_fresh_state", "row_that_rests_is_made_up_for"}),
    ],
)  # fmt: skip
def test_a_file_of_ones_own_with_a_fault_fails(tmp_path, family, name, content, failing):
    tables = {"network": {"hidden": [4]}, "models": {family: [f"{name}.py"]}}
    path = with_file(tmp_path, content, f"{name}.py", **tables)
    done, failed = conformance(
        tmp_path, "-k", f"{name} and not precision and not row_by_row and not spiking", LOCALDFA_SPEC=str(path)
    )
    assert len(failed) == len(failing), done.stdout
    assert all(any(part in test for test in failed) for part in failing), done.stdout
