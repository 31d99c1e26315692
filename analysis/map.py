"""How close the local rule comes to exact DFA, over nudging strength and window: a map of its bias and its noise.

Reads ``cosine_to_dfa`` and ``relative_error_to_dfa`` of the metrics, before training, of conditions that differ in
``phases.beta`` and in the time that the plasticity gate is open, ``phases.gate`` or else ``phases.nudged``, and in nothing
else but the traces and the free phase that go with that time.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from localdfa.analysis import _heat, _nudging, style, summary
from localdfa.record import Run
from localdfa.spec import Setting

TITLE, SECTION = "Bias and noise of the update", "rule"

_TIMES = ("phases.nudged", "phases.gate", "phases.free", "trace.tau_x", "trace.tau_z")


class _Panel(NamedTuple):
    """One map: a column of the metrics, its label, its colours, and their range."""

    key: str
    label: str
    colours: str
    limits: Callable[[np.ndarray], tuple[float, float]]


_PANELS = (
    _Panel("cosine_to_dfa", "Cosine to exact DFA", f"{style.UNSIGNED}_r", lambda _: (0.0, 1.0)),
    _Panel("relative_error_to_dfa", "Relative error to exact DFA", style.UNSIGNED, lambda v: (0.0, float(np.nanmax(v)))),
)


def caption(run: Run) -> str:
    """What to see, and what the cells are."""
    return (
        "The first hidden layer's weight update under the local rule against that of exact DFA, of the same network on the "
        "same samples before training, over the nudging strength β and the time that the plasticity gate is open. a, Their "
        "cosine. b, Length of their difference, by that of exact DFA's. Dark is far from exact DFA. Two errors meet. The noise "
        "of single spikes is divided by β and by the length of the window, and so largest at the lower left; the curvature of "
        "the f–I curve over a finite nudge, a bias that no length of the window removes, grows with β. Traces and free phases "
        f"may change with the window. {summary.means(run)}{_sweep(run).said}"
    )


def figure(run: Run) -> style.Figure:
    """Two maps side by side, a cell for each condition under the local rule, its value printed in it.

    Raises
    ------
    RunError
        Nothing is measured yet; no conditions, or several groups of them, that differ in β and the window alone.
    """
    at = _sweep(run).points
    betas, windows = (sorted({cell[axis] for cell in at}) for axis in (0, 1))
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 0.9 + max(1.5, 0.42 * len(betas)))
        panels = list(drawn.subplots(1, 2))
        for axes, panel in zip(panels, _PANELS, strict=True):
            values = np.full((len(betas), len(windows)), np.nan)
            for (beta, window, *_), curve in _nudging.before(run, panel.key, 0, at).items():
                values[betas.index(beta), windows.index(window)] = curve.mean[0]
            _heat.draw(
                axes, values, panel.label, panel.colours, panel.limits(values) if np.isfinite(values).any() else (0.0, 1.0)
            )
            axes.set_xticks(range(len(windows)), [f"{each:g}" for each in windows])
            axes.set_yticks(range(len(betas)), [f"{each:g}" for each in betas])
            axes.set(xlabel="Gate open (ms)", ylabel="Nudging strength β")
        style.letters(panels)
    return drawn


def _sweep(run: Run) -> _nudging.Sweep[tuple[float, ...]]:
    """The conditions by β and window, two or more of each, all other times the same wherever the window is."""
    return _nudging.sweep(
        run, "map", "phases.beta and phases.nudged (or phases.gate), two values or more of each, and one trace and phases.free "
        "for each window", ("phases.beta", *_TIMES), _at, _enough,
    )  # fmt: skip


def _at(setting: Setting) -> tuple[float, ...]:
    """β, the window, and all times that may change with it."""
    phases, trace = setting.phases, setting.trace
    return phases.beta, phases.gate or phases.nudged, phases.nudged, phases.free, trace.tau_x, trace.tau_z


def _enough(points: Collection[tuple[float, ...]]) -> bool:
    betas, windows, times = {p[0] for p in points}, {p[1] for p in points}, {p[1:] for p in points}
    return len(betas) > 1 and len(windows) == len(times) > 1
