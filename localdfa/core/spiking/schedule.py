"""The steps of a trial: in each nothing changes from outside, and no spike reaches an earlier population."""

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from localdfa.core.events import trial_segments

if TYPE_CHECKING:
    from localdfa.spec.tables import FeedbackTable, Phases


class Schedule(NamedTuple):
    """The n steps of a trial."""

    edges: np.ndarray  # (n + 1,) where steps begin and end, ms
    sign: np.ndarray  # (n,) sign of the nudging, 0 while the feedback is off
    gate: np.ndarray  # (n,) which opening of the plasticity gate, −1 while it is closed
    opens: np.ndarray  # (n,) whether the gate opens at the step's begin
    closes: np.ndarray  # (n,) whether it closes at the step's end
    refresh: np.ndarray  # (n,) whether the error is read anew at the step's begin
    sampled: np.ndarray  # (n,) whether states are recorded there
    frame: np.ndarray  # (n,) frame of the input
    turns: np.ndarray  # (n,) whether the next step has another frame
    free: int  # number of steps of the first free phase
    top: int  # up to which step the somata of the top layer matter
    last: int  # one after the last step that matters
    openings: int  # how often the gate opens
    beta: float  # nudging strength
    error_threshold: float  # errors no larger nudge nothing
    carried: bool  # whether a trial begins where the one before it ended, so that every step matters
    supervised: bool  # whether what is learned depends on the error, so that nothing is where there is none


def schedule(
    phases: "Phases",
    feedback: "FeedbackTable",
    loops: list[float],
    nudges: bool,
    frames: int = 1,
    window: float = 1.0,
    times: np.ndarray | None = None,
    supervised: bool = True,
) -> Schedule:
    """The steps of a trial.

    loops: delays, ms, by which a population reaches itself or an earlier one; nudges: whether there are nudged phases; frames:
    of the input, each as long as `window`, ms; times: moments, ms, at which states are recorded, for which all steps matter.
    supervised: of the rule, see `SpikingRule`.
    """
    edges, sign, gate = trial_segments(phases, nudges)
    begins_of_phases = _phase_begins(edges, sign)
    follows = nudges and feedback.signal != "constant"
    fed = [pair for pair, s in zip(pairwise(edges), sign, strict=True) if s != 0 and follows]
    readings = np.concatenate([np.empty(0), *(_cut(a, b, feedback.interval) for a, b in fed)])
    turns = np.concatenate([_frame_begins(a, b, frames, window) for a, b in pairwise([*begins_of_phases, edges[-1]])])
    sampled = np.empty(0) if times is None else times[(times >= 0) & (times < edges[-1])]
    steps = np.unique(np.concatenate([edges, readings, turns, sampled]))
    if loops:
        steps = np.append(np.concatenate([_cut(a, b, min(loops)) for a, b in pairwise(steps)]), edges[-1])
    begins = steps[:-1]
    segment, phase = (np.searchsorted(of, begins, side="right") - 1 for of in (edges, begins_of_phases))
    sign, gate = sign[segment], gate[segment]
    since = (begins - begins_of_phases[phase]) / window
    frame = np.minimum(since * (1 + 1e-12), frames - 1).astype(np.int64)
    opens, closes = gate != np.append(-1, gate[:-1]), gate != np.append(gate[1:], -1)
    free, gated = int(np.searchsorted(begins, edges[1])), np.flatnonzero(gate >= 0)
    refresh = np.isin(begins, readings) if follows else np.arange(len(begins)) == free
    carried = phases.onset == "carried"
    whole = times is not None or carried
    matters = np.flatnonzero(refresh | (opens & (gate >= 0)))
    last = len(begins) if whole or not gated.size else int(gated[-1]) + 1
    return Schedule(
        edges=steps,
        sign=sign,
        gate=gate,
        opens=opens & (gate >= 0),
        closes=closes & (gate >= 0),
        refresh=refresh,
        sampled=np.isin(begins, sampled),
        frame=frame,
        turns=np.append(frame[1:] != frame[:-1], False),
        free=free,
        top=int(matters[-1]) if not whole and matters.size and not loops else last,
        last=last,
        openings=int(gate.max(initial=-1)) + 1,
        beta=phases.beta,
        error_threshold=feedback.threshold,
        carried=carried,
        supervised=supervised,
    )


def phase_begins(phases: "Phases", nudges: bool) -> tuple[np.ndarray, float]:
    """When the phases of a trial begin, and its end, ms."""
    edges, sign, _ = trial_segments(phases, nudges)
    return _phase_begins(edges, sign), float(edges[-1])


def _phase_begins(edges: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Phases begin where the nudging changes."""
    return edges[:-1][np.append(True, sign[1:] != sign[:-1])]


def _cut(a: float, b: float, longest: float) -> np.ndarray:
    """a and moments from there to b, evenly spaced, no further apart than `longest`."""
    n = max(1, int(np.ceil((b - a) / longest * (1 - 1e-12))))
    return a + (b - a) / n * np.arange(n)


def _frame_begins(a: float, b: float, frames: int, window: float) -> np.ndarray:
    """When a frame follows another in a phase from a to b."""
    begins = a + window * np.arange(frames)
    return begins[begins < b]
