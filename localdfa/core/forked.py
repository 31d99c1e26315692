"""A process that was forked from one that has run kernels cannot run any where their threads are GNU OpenMP's: it would die.

Pools that fork (`multiprocessing` does by default on Linux before Python 3.14) would then wait for it for ever.
"""

import os
from importlib import import_module

import numba

from localdfa.errors import ForkError

_lost = False


def _notice() -> None:
    """Called in a process that has just been forked."""
    global _lost
    try:
        if numba.threading_layer() == "omp":
            _lost = import_module("numba.np.ufunc.omppool").openmp_vendor == "GNU"
    except ValueError:  # no thread has been started
        pass


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_notice)


def check() -> None:
    """Refuse to run kernels in a process that they would end.

    Raises
    ------
    ForkError
        It was forked from one that has run kernels.
    """
    if _lost:
        raise ForkError(
            "this process was forked from one in which localdfa has simulated already, and the threads of GNU OpenMP do not "
            "outlive a fork: start the processes of a pool by multiprocessing.get_context('spawn') or 'forkserver', or set "
            "NUMBA_THREADING_LAYER=workqueue"
        )
