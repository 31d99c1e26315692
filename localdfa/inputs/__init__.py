"""How inputs reach spiking neurons, one file a code.

A code says how many input neurons a sample makes, `n_in`, from its shape; `frames`, into how many constant pieces in time it
falls; and, where input neurons spike, `trains`: when. `n_in` and `arrivals` here count the delay lines in, by which each of
these neurons reaches the network: what arrives at one moment then tells of many.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa import interface
from localdfa.errors import SpecError
from localdfa.inputs._code import Code

if TYPE_CHECKING:
    from localdfa.data import Inputs
    from localdfa.spec.tables import Input


def wrong(model: Any) -> list[str]:
    """What of a model is not as `Code` says; see `registry.wrong`."""
    return interface.wrong_subclass(model, Code, ["trains"] if getattr(model, "spikes", False) else [])


def n_in(code: type[Code], shape: tuple[int, ...], spec: "Input") -> int:
    """Number of input neurons of a sample of this shape, one for each line."""
    return code.n_in(shape) * (len(spec.lines) if code.spikes else 1)


def arrivals(
    code: type[Code], x: "Inputs", shape: tuple[int, ...], spec: "Input", onsets: np.ndarray, stop: float,
    rng: np.random.Generator | None, end: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Spikes of a mini-batch in [0, stop) ms, in any order: sample, neuron, time; all neurons of a line, then of the next.

    Lines bring what was sent in a free phase into the nudged phase after it, and nothing of either into the next free phase:
    both nudged phases of a trial follow on the same arrivals, so that what these do to a trace cancels in the centered change.

    Arguments as those of a code's `trains`; spec: the table `input`; onsets: of a free phase and a nudged one in turn; end:
    when lines cease to bring spikes, `stop` if left out, or infinite where trials follow on each other without a rest, and
    lines then bring all that was sent.
    """
    sample, neuron, time = code.trains(x, shape, spec, onsets, stop, rng)  # type: ignore[arg-type]  # None where it draws nothing
    if len(time) and not (0 <= neuron.min() <= neuron.max() < code.n_in(shape) and np.isfinite(time).all()):
        raise SpecError(
            f"input.code: {spec.code!r} sends spikes of neurons {neuron.min()} to {neuron.max()} from {time.min():g} to "
            f"{time.max():g} ms; allowed: neurons 0 to {code.n_in(shape) - 1}, and finite times"
        )
    last = stop if end is None else end
    ends = np.append(onsets[2::2], last) if last == stop else np.array([last])
    ends_here = ends[np.searchsorted(ends[:-1], time, side="right")]
    sent = [time + line < ends_here for line in spec.lines]
    return (
        np.concatenate([sample[k] for k in sent]),
        np.concatenate([neuron[k] + i * code.n_in(shape) for i, k in enumerate(sent)]),
        np.concatenate([time[k] + line for line, k in zip(spec.lines, sent, strict=True)]),
    )
