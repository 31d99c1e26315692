"""Where figures put what they draw: nothing is cut off or covers another panel, whatever the number of conditions and the size.

One run for each number of conditions, made up and not trained, has everything that any figure draws.
"""

import re
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_figures_degenerate import activity, made, row, spikes, states, weights

from localdfa import analysis
from localdfa.analysis import _layout, report, style, tsne

# Pixels of a hundredth of an inch by which a text may leave the page, and two panels may overlap.
_SLACK = 3
_EDGES, _SIGN = np.array([0.0, 100, 150]), np.array([0.0, 1])
# Conditions as (values of β, windows), and hidden layers. β alone varies in the last, as `beta` asks for.
KINDS = {"1": (1, 1, 5), "6": (3, 2, 2), "24": (6, 4, 3), "beta": (5, 1, 2)}
# Conditions as (rules, numbers of neurons that the signal reaches), and hidden layers: for figures that ask for both.
RULES = {"rules": (2, 3, 3), "many rules": (6, 26, 5)}
# Figures of what modules alone have.
OF_MODULES = ("dimensions", "sample", "views")
# The figures of each: a sweep of β alone has its own.
CASES = [
    *((name, kind) for name in analysis.names() for kind in KINDS
      if kind != "beta" and name not in ("beta", "bottleneck", "grid", *OF_MODULES)
      and (name, kind) not in (("map", "1"), ("sweep", "1"))),
    ("beta", "beta"),
    *((name, kind) for name in ("bottleneck", "grid") for kind in RULES),
]  # fmt: skip
# In larger letters what is tight in small ones: of many conditions in the figure with the most panels.
LOOKS = [
    *((*case, "paper") for case in CASES),
    *((name, kind, "talk") for name, kind in CASES if kind in ("6", "beta", "many rules") or name == "angles"),
]


# Of many conditions: a row for each, or a panel.
ROWS, PANELS = ("angles", "norms", "theorem", "firing"), ("errors", "events", "rates", "singular", "weights")

# In one panel or two, however many conditions there are, and one of a panel each: those that are made small of many.
TOGETHER = ("comparison", "errors", "map", "sweep")


def synthetic(folder, betas, windows, depth):
    """A finished run of spiking neurons under some nudging strengths and windows, with two seeds and every record."""
    rng = np.random.default_rng(0)
    hidden = [6, 5, 4, 5, 4][:depth]

    def rows(job):
        pace = 1 + rng.random()
        for epoch in range(6):
            falling = (10 + 80 * rng.random()) / (1 + epoch)
            angles = {key: list(20 + 70 * rng.random(depth)) for key in ("angle_to_dfa", "angle_to_bp", "angle_dfa_to_bp")}
            angles |= {"theorem_beta": list(180 * rng.random(depth)), "rate": list(60 * rng.random(depth))}
            angles |= {"relative_error_to_dfa": list(10.0 ** -rng.integers(0, 5, depth))}
            layers = {key: list(rng.random(depth)) for key in ("alignment", "theorem_k", "theorem_l", "silent", "saturated")}
            norms = {"weight_norm": [2.0, *[3.0] * depth], "feedback_norm": [1.0] * depth}
            layers |= {**norms, "update_norm": [2.0 ** (epoch - l) for l in range(depth + 1)]}
            events = {"events": 200_000 * epoch * pace, "feedback_events": 30_000 * epoch * pace}
            yield row(job, epoch, depth, test_error=falling, train_error=falling / 2, **events, **angles, **layers)

    conditions = [
        {"name": f"strength-{beta:g}-window-{window}-ms", "phases": {"beta": float(beta), "nudged": float(window)}}
        for beta in np.geomspace(0.01, 3, betas).round(3) for window in range(20, 20 + 10 * windows, 10)
    ]  # fmt: skip
    run = made(
        folder, rows=lambda job: list(rows(job)), condition=conditions, seeds=[0, 1],
        network={"hidden": hidden, "neuron": "lif"}, trace={"tau_x": 2.0, "tau_z": 2.0},
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
        job.write("activity", activity(30, hidden, lambda shape: 40 * rng.random(shape), classes=10, name="rate"))
        job.write("weights", weights(hidden, n_out=10, of=lambda shape: rng.normal(size=shape)))
        job.write("outcome", outcome)
        job.write("spikes", fired)
        job.write("states", states(np.arange(0.0, 150, 5), z=0.1, edges=_EDGES, sign=_SIGN))
        if depth > 1:
            job.write("changes", changes)
    return run


def by_rules(folder, rules, numbers, depth):
    """A finished run of rate neurons under some rules, whose second layer the signal reaches in part, with two seeds."""
    rng = np.random.default_rng(0)

    def rows(job):
        return [
            row(job, epoch, depth, test_error=100 * rng.random(), signal_cosine=list(rng.random(depth))) for epoch in (0, 1)
        ]

    names = ["dfa", "local", "bp", "fa", "ifa", "frozen"][:rules]
    conditions = [
        {"name": f"{name}-{number}", "rule": name, **({"feedback": {"bottleneck": {2: number}}} if name != "frozen" else {})}
        for name in names for number in range(1, (numbers if name != "frozen" else 1) + 1)
    ]  # fmt: skip
    hidden = [30] * depth
    return made(folder, rows=rows, condition=conditions, seeds=[0, 1], network={"hidden": hidden, "weights": "uniform"})


def tick_labels(axis):
    """The labels of an axis that are seen."""
    low, high = sorted(axis.get_view_interval())
    for minor in (False, True):
        ticks = zip(axis.get_ticklocs(minor=minor), axis.get_ticklabels(minor=minor), strict=False)
        yield from (label for at, label in ticks if low <= at <= high)


def boxes_of(texts):
    return {text: text.get_window_extent() for text in texts if text.get_visible() and text.get_text().strip()}


def assert_readable(drawn):
    """Every text and panel lies on the page, and no panel with its labels covers another's, nor one tick label the next."""
    drawn.draw_without_rendering()
    page, panels = drawn.bbox.padded(_SLACK), [axes for axes in drawn.axes if axes.get_visible()]
    texts = [*drawn.texts, *(text for legend in drawn.legends for text in legend.get_texts())]
    for axes in panels:
        own = [child for child in axes.get_children() if isinstance(child, Text)]
        titles = boxes_of(text for text in own if text not in axes.texts)
        assert not any(one.overlaps(other) for one, other in combinations(titles.values(), 2)), titles
        texts += own
        for axis in (axes.xaxis, axes.yaxis):
            labels = boxes_of(tick_labels(axis))
            texts += [axis.label, *labels]
            for (one, box), (other, beside) in combinations(labels.items(), 2):
                assert not box.overlaps(beside), (one, other)
    for text, box in boxes_of(texts).items():
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()
    boxes = [axes.get_tightbbox() for axes in panels] + [legend.get_window_extent() for legend in drawn.legends]
    for one, other in combinations(boxes, 2):
        shared = Bbox.intersection(one, other)
        assert shared is None or min(shared.width, shared.height) <= _SLACK
    for axes in panels:
        assert min(axes.get_window_extent().size) >= 20 or axes.get_label() == "<colorbar>"


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    def made_up(make, kinds):
        return {name: make(tmp_path_factory.mktemp("layout") / "run", *kind) for name, kind in kinds.items()}

    return made_up(synthetic, KINDS) | made_up(by_rules, RULES)


@pytest.fixture(scope="session")
def figure_of(runs):
    """A figure of a run as it is made, drawn once for all that look at it and leave it as it is."""

    @cache
    def drawn(name, kind):
        return analysis.get(name).figure(runs[kind])

    return drawn


@pytest.mark.parametrize(("name", "kind", "look"), LOOKS)
def test_nothing_is_cut_off_or_covered(runs, figure_of, name, kind, look, monkeypatch):
    monkeypatch.setattr(tsne, "_place", lambda activity: (activity[:, :2], "t-SNE 1 (a.u.)", "t-SNE 2 (a.u.)"))
    with style.using(look):
        again = look == "paper" and kind == "24" and name in (*ROWS, *PANELS)
        assert_readable(figure_of(name, kind) if again else analysis.get(name).figure(runs[kind]))


@pytest.mark.parametrize(
    ("name", "kind"),
    [case for case in CASES if case[1] in ("6", "beta", "rules") or case in [(name, "24") for name in TOGETHER]],
)
def test_a_smaller_figure_can_be_read_or_is_refused_with_a_size(runs, name, kind, monkeypatch):
    monkeypatch.setattr(tsne, "_place", lambda activity: (activity[:, :2], "t-SNE 1 (a.u.)", "t-SNE 2 (a.u.)"))
    drawn = analysis.get(name).figure(runs[kind])
    own = tuple(drawn.get_size_inches())
    for size in [(3.0, 2.2), (7.0, 3.0)]:
        try:
            drawn.set_size_inches(*size)
        except style.SizeError as error:
            (enough,) = re.findall(r"it can be at ([0-9.]+) × ([0-9.]+)$", str(error))
            assert tuple(drawn.get_size_inches()) == own
            drawn.set_size_inches(*map(float, enough))
        assert_readable(drawn)
        drawn.set_size_inches(own)
    assert_readable(drawn)


def test_a_figure_that_does_not_fit_its_own_size_is_refused_with_a_larger_one():
    with style.context():
        drawn = style.Figure(2.0, 1.2)
        drawn.subplots().set(xlabel="Epoch", ylabel="a label that is longer than its panel is high")
    with pytest.raises(style.SizeError) as refused:
        drawn.set_size_inches(2.0, 1.2)
    width, height = map(float, re.search(r"it can be at (.*) × (.*)$", str(refused.value)).groups())
    assert height > 1.2
    drawn.set_size_inches(width, height)
    assert drawn.get_size_inches().tolist() == [width, height]


def test_a_figure_that_grows_again_is_as_it_was_made(runs):
    drawn, other = (analysis.get("errors").figure(runs["6"]) for _ in range(2))
    own = drawn.get_size_inches()
    drawn.set_size_inches(3, 2.2)
    assert len(list(tick_labels(drawn.axes[0].yaxis))) < len(list(tick_labels(other.axes[0].yaxis)))
    drawn.set_size_inches(own)
    drawn.draw_without_rendering()
    other.draw_without_rendering()
    for axes, before in zip(drawn.axes, other.axes, strict=True):
        for axis, was in ((axes.xaxis, before.xaxis), (axes.yaxis, before.yaxis)):
            labels, first = ([(text.get_text(), text.get_size()) for text in tick_labels(each)] for each in (axis, was))
            assert labels == first
            assert axis.label.get_size() == was.label.get_size()


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_a_figure_is_laid_out_once_to_be_saved(runs, form, monkeypatch):
    settle, laid_out = _layout.Made.settle, []
    monkeypatch.setattr(_layout.Made, "settle", lambda made: laid_out.append(made) or settle(made))
    analysis.get("errors").figure(runs["6"]).content(form)
    assert len(laid_out) == 1


# --- many conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_of_many_conditions_each_has_a_row(runs, figure_of, name):
    """A column for each measure, and in each panel a line for each layer, of that condition."""
    run, drawn = runs["24"], figure_of(name, "24")
    columns = {"angles": 4, "norms": 5, "theorem": 3, "firing": 3}[name]
    rows = [drawn.axes[i : i + columns] for i in range(0, len(drawn.axes), columns)]
    assert [abreast[0].get_ylabel().replace("\n", "") for abreast in rows] == list(run.settings)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [f"Hidden layer {l}" for l in (1, 2, 3)]
    key = {"angles": "angle_to_dfa", "norms": "weight_norm", "theorem": "theorem_k", "firing": "rate"}[name]
    for condition, abreast in zip(run.settings, rows, strict=True):
        for layer in range(3):
            (line,) = [line for line in abreast[0].lines if line.get_label() == f"Hidden layer {layer + 1}"]
            own = [job.metrics for job in run.jobs if job.condition == condition]
            assert line.get_ydata() == pytest.approx([np.mean([seed[e][key][layer] for seed in own]) for e in range(6)])
    caption = analysis.get(name).caption(run)
    assert "Each condition has its own panels, with a line for each layer." in caption


@pytest.mark.parametrize("name", PANELS)
def test_of_many_conditions_each_has_a_panel(runs, figure_of, name):
    run, drawn = runs["24"], figure_of(name, "24")
    assert [axes.get_title().replace("\n", "") for axes in drawn.axes] == list(run.settings)
    texts = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert len(texts) == {"errors": 3, "events": 2, "rates": 3, "singular": 4, "weights": 4}[name]
    assert "Each condition has its own panels" in analysis.get(name).caption(run)


def test_labels_that_are_wider_than_a_figure_are_folded():
    """A long name of a condition: on the page, whole, and each line as it was."""
    name = "the local rule with a name that a legend cannot have in one line of a column of a journal, whatever its size"
    with style.context():
        drawn = style.Figure(3.4, 3)
        axes = drawn.subplots()
        style.legend(drawn, {each: axes.plot([0, 1], [0, 1], label=each)[0] for each in (name, "bp")})
    assert_readable(drawn)
    texts = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert texts[0].replace("\n", " ") == name
    assert "\n" in texts[0]
    assert texts[1] == "bp"
    assert axes.lines[0].get_label() == name


def test_neurons_are_counted_from_0(runs):
    for name, place in (("raster", 0), ("trial", 0)):
        axes = analysis.get(name).figure(runs["6"]).axes[place]
        ticks = axes.get_yticks()
        assert 0 in ticks
        assert all(tick == int(tick) and 0 <= tick < 6 for tick in ticks), name


def test_fields_says_how_many_neurons_it_shows(runs):
    assert "to the 6 neurons of the first hidden layer, laid out" in analysis.get("fields").caption(runs["1"])


def test_figures_without_their_record_are_said_in_one_line(tmp_path):
    run = made(tmp_path / "run")
    said = [line for line in report.plot([run], out=tmp_path) if "keeps no" in line]
    assert said == [
        "Not drawn, because the run keeps no outcome: confusion; no weights: fields, singular, weights; no spikes: pairs, "
        "raster, trial, window; no activity: pca, rates, tsne (--figure NAME says what would keep it)"
    ]
