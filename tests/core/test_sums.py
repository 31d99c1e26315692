"""The sum over the blocks of a mini-batch: its order, and that nobody waits for ever."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from localdfa.core.sums import Sums


@pytest.mark.parametrize(("threads", "parts"), [(1, 1), (2, 2), (2, 3), (5, 6), (4, 1)])
def test_blocks_are_added_in_order_whoever_ends_first(threads, parts):
    rng = np.random.default_rng(threads)
    found = rng.lognormal(0, 8, (16, 50)).astype(np.float32)  # so spread that the order shows in the last bits
    delays = rng.uniform(0, 2e-3, 16)
    sums = Sums(parts, 50, np.float32)

    def run(block):
        with sums.part(block) as part:
            assert not part.any()
            time.sleep(delays[block])
            part += found[block]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(16)))
    expected, backwards = np.zeros(50, np.float32), np.zeros(50, np.float32)
    for block in range(16):
        expected += found[block]
        backwards += found[15 - block]
    np.testing.assert_array_equal(sums.total, expected)
    assert (expected != backwards).any()


def test_a_block_that_fails_holds_up_no_other():
    sums = Sums(1, 3, np.float64)

    def run(block):
        with sums.part(block) as part:
            if block == 1:
                raise ZeroDivisionError
            part += 1

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, block) for block in range(4)]
    assert [r.exception() is None for r in runs] == [True, False, True, True]
    np.testing.assert_array_equal(sums.total, np.full(3, 3.0))
