"""What the tests of all families share."""

import pytest

from localdfa.core import blas


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread():
    blas.one_thread()
