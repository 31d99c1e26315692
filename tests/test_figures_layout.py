"""Where figures put what they draw: nothing is cut off or covers another panel, whatever the number of conditions and the size.

One run for each number of conditions, made up and not trained, has everything that any figure draws.
"""

import re
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_figures_degenerate import activity, made, row, spikes, states, weights

from localdfa import analysis
from localdfa.analysis import style
from localdfa.errors import RunError

# Pixels of a hundredth of an inch by which a text may leave the page, and two panels may overlap.
_SLACK = 3
_EDGES, _SIGN = np.array([0.0, 100, 150]), np.array([0.0, 1])
# Conditions as (values of β, windows), and hidden layers. β alone varies in the last, as `beta` asks for.
KINDS = {"1": (1, 1, 5), "6": (3, 2, 2), "24": (6, 4, 3), "5 of beta": (5, 1, 2)}
# Figures that there are not of a kind: sweeps.
LACKING = {("beta", "1"), ("beta", "6"), ("beta", "24"), ("map", "1"), ("map", "5 of beta")}


def synthetic(folder, betas, windows, depth):
    """A finished run of spiking neurons under some nudging strengths and windows, with two seeds and every record."""
    rng = np.random.default_rng(0)
    hidden = [6, 5, 4, 5, 4][:depth]

    def rows(job):
        for epoch in range(6):
            falling = (10 + 80 * rng.random()) / (1 + epoch)
            angles = {key: list(20 + 70 * rng.random(depth)) for key in ("angle_to_dfa", "angle_to_bp", "angle_dfa_to_bp")}
            angles |= {"theorem_beta": list(180 * rng.random(depth)), "rate": list(60 * rng.random(depth))}
            angles |= {"relative_error_to_dfa": list(10.0 ** -rng.integers(0, 5, depth))}
            layers = {key: list(rng.random(depth)) for key in ("alignment", "theorem_k", "theorem_l", "silent", "saturated")}
            events = 200_000 * epoch * (1 + rng.random())
            yield row(job, epoch, depth, test_error=falling, train_error=falling / 2, events=events, **angles, **layers)

    conditions = [
        {"name": f"strength-{beta:g}-window-{window}-ms", "phases": {"beta": float(beta), "nudged": float(window)}}
        for beta in np.geomspace(0.01, 3, betas).round(3) for window in range(20, 20 + 10 * windows, 10)
    ]  # fmt: skip
    run = made(
        folder, rows=lambda job: list(rows(job)), condition=conditions, seeds=[0, 1],
        network={"hidden": hidden, "neuron": "lif"}, trace={"tau_x": 10.0, "tau_z": 10.0},
        phases={"free": 100.0, "nudging": "one_sided", "propagation": "two_compartment"},
    )  # fmt: skip
    n = 200
    fired = spikes(
        [*np.sort(rng.uniform(0, 100, n)), *np.sort(rng.uniform(100, 150, n)), 105, 110],
        [*rng.integers(1, depth + 1, 2 * n), 1, 2], [*rng.integers(0, 4, 2 * n), 0, 0],
        [*[False] * n, *(rng.random(n) < 0.5), False, True], [*[7] * (2 * n), 8, 8], edges=_EDGES, sign=_SIGN,
    )  # fmt: skip
    changes = {"dW2": np.full((1, 1, 1), 0.3), "pre2": [0], "post2": [0], "trial": [8]}
    outcome = {"label": rng.integers(0, 10, 300), "prediction": rng.integers(0, 10, 300)}
    for job in run.jobs:
        job.write_activity(activity(30, hidden, lambda shape: 40 * rng.random(shape), classes=10, name="rate"))
        job.write_weights(weights(hidden, n_out=10, of=lambda shape: rng.normal(size=shape)))
        job.write_outcome(outcome)
        job.write_spikes(fired)
        job.write_states(states(np.arange(0.0, 150, 5), z=0.1, edges=_EDGES, sign=_SIGN))
        if depth > 1:
            job.write_changes(changes)
    return run


def texts(drawn):
    """All text of a figure that is seen, but for labels of ticks beyond the ends of their axes."""
    for text in drawn.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text.axes is None:
            yield text
    for axes in drawn.axes:
        if axes.get_visible():
            yield from (text for text in axes.get_children() if isinstance(text, Text))
            for axis, low, high in ((axes.xaxis, *axes.get_xlim()), (axes.yaxis, *axes.get_ylim())):
                yield axis.label
                for minor in (False, True):
                    ticks = zip(axis.get_ticklocs(minor=minor), axis.get_ticklabels(minor=minor), strict=False)
                    yield from (label for at, label in ticks if min(low, high) <= at <= max(low, high))


def assert_readable(drawn):
    """Every text and panel lies on the page, and no panel with its labels covers another's, nor one tick label the next."""
    drawn.draw_without_rendering()
    page = drawn.bbox.padded(_SLACK)
    for text in texts(drawn):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
            assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()
    around = {axes: axes.get_tightbbox() for axes in drawn.axes if axes.get_visible()}
    boxes = [*around.values(), *(legend.get_window_extent() for legend in drawn.legends)]
    for one, other in combinations(boxes, 2):
        shared = Bbox.intersection(one, other)
        assert shared is None or min(shared.width, shared.height) <= _SLACK
    for axes in around:
        assert min(axes.get_window_extent().size) >= 20 or axes.get_label() == "<colorbar>"
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            seen = [label.get_window_extent() for label in labels if label.get_visible() and label.get_text()]
            assert not any(a.padded(-0.5).overlaps(b) for a, b in pairwise(seen))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    return {name: synthetic(tmp_path_factory.mktemp("layout") / "run", *kind) for name, kind in KINDS.items()}


def drawn_of(runs, kind, name):
    """A figure of a run, None where it says why there is none."""
    try:
        return analysis.get(name).figure(runs[kind])
    except RunError as error:
        assert (name, kind) in LACKING, str(error)
        return None


@pytest.mark.parametrize("look", style.STYLES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", analysis.names())
def test_nothing_is_cut_off_or_covered(runs, name, kind, look):
    with style.using(look):
        drawn = drawn_of(runs, kind, name)
    if drawn:
        assert_readable(drawn)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", analysis.names())
def test_nothing_is_cut_off_or_covered_in_a_smaller_figure(runs, name, kind):
    """It can be read at a size or is refused with one at which it can."""
    drawn = drawn_of(runs, kind, name)
    if not drawn:
        return
    own = drawn.get_size_inches()
    for size in [(3.0, 2.2), (3.4, 3.0), (7.0, 3.0)]:
        try:
            drawn.set_size_inches(*size)
        except style.SizeError as error:
            (enough,) = re.findall(r"it can be at ([0-9.]+) × ([0-9.]+)$", str(error))
            assert tuple(drawn.get_size_inches()) == tuple(own)
            drawn.set_size_inches(*map(float, enough))
        assert_readable(drawn)
        drawn.set_size_inches(own)
    assert_readable(drawn)
