"""Ctrl-C while kernels are compiled or run.

Python raises KeyboardInterrupt between two of its own steps, in its main thread. Neither LLVM, which may take half a minute,
nor a long kernel is such a step. So both work in threads of their own, while the thread that asked for it waits and can be
interrupted. A kernel is given a flag, `cancelled`, and returns soon after that has been set. Compiling cannot be ended: it goes
on in a daemon thread, which the end of the process does not wait for, and nothing is run by it.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import get_num_threads, set_num_threads
from numba.core.dispatcher import Dispatcher

from localdfa.core import foreign

# Seconds after which a thread that waits for the compiler looks whether it has been cancelled.
_PATIENCE = 0.1
# Of each thread of `threads` the flag that it heeds.
_heeded = threading.local()


@contextmanager
def threads(count: int) -> Iterator[tuple[ThreadPoolExecutor, np.ndarray]]:
    """A pool of threads that run kernels, and their flag `cancelled`, (1,): it is set when the one who waits for them is
    interrupted, or one of them fails. On leaving, the threads have come to their end.
    """
    cancelled = np.zeros(1, np.bool_)
    with ThreadPoolExecutor(count, initializer=_begin, initargs=(cancelled, get_num_threads())) as pool:
        try:
            yield pool, cancelled
        except BaseException:
            cancelled[0] = True
            raise


def _begin(cancelled: np.ndarray, numba_threads: int) -> None:
    _heeded.cancelled = cancelled
    set_num_threads(numba_threads)  # each thread has this number for itself


def compiled_apart(dispatcher: Any) -> Any:
    """Have a function of Numba compiled by a thread of its own, wherever Python calls it; returns the function."""
    if isinstance(dispatcher, Dispatcher):  # with NUMBA_DISABLE_JIT it is plain Python
        # Numba calls this, which it looks up by name, where it has no code yet for the types of the arguments; no public way.
        compile_here = getattr(dispatcher, "_compile_for_args")  # noqa: B009
        setattr(dispatcher, "_compile_for_args", lambda *args, **kws: _apart(dispatcher, compile_here, args, kws))  # noqa: B010
    return dispatcher


def _apart(dispatcher: Any, work: Any, args: Any, kws: Any) -> Any:
    """work(*args, **kws), which compiles a function, in a daemon thread.

    Raises
    ------
    ModelError
        It cannot be compiled for a function of a model from outside.
    KeyboardInterrupt
        In the main thread as always; in one of `threads` when it is cancelled. The work goes on, and nobody hears of its end.
    """
    cancelled = getattr(_heeded, "cancelled", np.zeros(1, np.bool_))
    found: Future[Any] = Future()

    def go() -> None:
        try:
            found.set_result(work(*args, **kws))
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=go, daemon=True, name="compiler").start()
    while not wait([found], _PATIENCE).done:
        if cancelled[0]:
            raise KeyboardInterrupt
    with foreign.named(dispatcher):
        return found.result()
