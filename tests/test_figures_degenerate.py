"""Figures of small and degenerate runs: each draws, or says in a line why not, and every run has its report."""

import base64
import re
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console

from localdfa import analysis, cli, record, spec
from localdfa.analysis import beta, bottleneck, errors, fields, raster, report, style, tsne
from localdfa.analysis import map as nudging_map
from localdfa.errors import RunError, SpecError

SPIKING = {
    "network": {"hidden": [4, 3], "neuron": "lif"}, "trace": {"tau_x": 10.0, "tau_z": 10.0},
    "phases": {"free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
}  # fmt: skip
EDGES, SIGN = np.array([0.0, 100, 150, 250, 300]), np.array([0.0, 1, 0, -1])


def row(job, epoch=0, depth=2, **changes):
    """A row of metrics in which everything is defined."""
    layers = dict.fromkeys(record.PER_LAYER, [0.5] * depth)
    where = {"condition": job.condition, "seed": job.seed, "epoch": epoch, "rule": "local", "stage": 0}
    plain = {
        "train_error": 50.0,
        "test_error": 50.0,
        "events": 10 * epoch,
        "feedback_events": 20 * epoch,
        "seconds": 0.1 * epoch,
    }
    return {**where, **plain, **layers, **changes}


def activity(samples=12, hidden=(4, 3), of=lambda shape: np.random.default_rng(0).random(shape), classes=3, name="h"):
    layers = {f"{name}{l + 1}": of((samples, n)).astype(np.float32) for l, n in enumerate(hidden)}
    return {**layers, "label": np.arange(samples) % classes, "sample": np.arange(samples)}


def weights(hidden=(4, 3), n_in=64, n_out=3, of=lambda shape: np.random.default_rng(0).normal(size=shape)):
    sizes = [n_in, *hidden, n_out]
    return {f"W{l + 1}": of((post, pre)).astype(np.float32) for l, (pre, post) in enumerate(pairwise(sizes))}


def spikes(time=(), population=(), neuron=(), twin=(), trial=(), edges=EDGES, sign=SIGN):
    return {
        "time": np.array(time, float), "population": np.array(population, np.int32), "neuron": np.array(neuron, np.int32),
        "twin": np.array(twin, bool), "trial": np.array(trial, np.int64), "trials": np.array([7]), "edges": edges, "sign": sign,
    }  # fmt: skip


def states(time=(0.0, 99.0, 120.0, 149.0, 260.0), neurons=(0,), z=0.0, edges=EDGES, sign=SIGN):
    shape = (1, len(time), len(neurons))
    kept = {"time": np.array(time, float), "trial": np.array([7]), "edges": edges, "sign": sign}
    for l in (1, 2):
        kept |= {f"{name}{l}": np.full(shape, z) for name in ("v", "x", "z", "current")}
        kept |= {f"drive{l}": np.full((1, len(neurons)), 1.2), f"neuron{l}": np.array(neurons, int)}
    return kept


def made(folder, rows=lambda job: [row(job), row(job, 1)], **tables):
    """A finished run with two hidden layers, and the records that `keep` adds."""
    tables = {"network": {"hidden": [4, 3]}, **tables}
    run = record.create(folder, spec.experiment(tables))
    run.update_info(shape=[1, 8, 8], status="finished")
    for job in run.jobs:
        job.write_metrics(rows(job))
    return run


def rate(rows=None, kept=None, weighed=None, outcome=((0, 1, 2, 2), (0, 1, 2, 1)), **tables):
    """A run of rate neurons, as a function of its folder."""

    def make(folder):
        run = made(folder, **({"rows": rows} if rows else {}), **tables)
        for job in run.jobs:
            job.write("activity", activity() if kept is None else kept)
            job.write("weights", weights() if weighed is None else weighed)
            job.write("outcome", {"label": np.array(outcome[0], int), "prediction": np.array(outcome[1], int)})
        return run

    return make


def spiking(fired=None, seen=None, changed=None, **phases):
    """A run of spiking neurons, as a function of its folder."""

    def make(folder):
        run = made(folder, **{**SPIKING, "phases": {**SPIKING["phases"], **phases}})
        for job in run.jobs:
            job.write("spikes", spikes() if fired is None else fired)
            job.write("states", states() if seen is None else seen)
            job.write("activity", activity(name="rate", of=np.zeros))
            if changed is not None:
                job.write("changes", changed)
        return run

    return make


ONE = {"time": [120.0, 130], "population": [1, 2], "neuron": [0, 0], "twin": [False, False], "trial": [7, 7]}
GATED = {"edges": np.array([0.0, 100, 120, 150]), "sign": np.array([0.0, 1, 1])}
NOTHING = {key: [None, None] for key in record.PER_LAYER}

# The figures that read each kind of record.
METRICS = (
    "angles", "beta", "bottleneck", "comparison", "depth", "errors", "events", "feedback", "firing", "grid", "map", "memorise",
    "norms", "sweep", "theorem",
)  # fmt: skip
ACTIVITY, WEIGHTS, OUTCOME = ("pca", "rates", "tsne"), ("fields", "singular", "weights"), ("confusion",)
SPIKES, STATES, CHANGES = ("raster", "trial", "window", "pairs"), ("trial",), ("pairs",)

# Activity takes time in these sweeps, so that they may differ in how long a trial is.
IN_TIME = {"neuron": {"tau": 5.0}, "network": {"hidden": [4, 3], "threshold": 0.01}}
GRID = [
    {"name": f"{b}-{w}", "phases": {"beta": b, "nudged": w, "propagation": "live"}} for b in (0.1, 1.0) for w in (20.0, 30.0)
]
ZERO = {"dW2": np.zeros((1, 1, 1)), "pre2": [0], "post2": [0], "trial": [7]}
ONE_SIDED = {"edges": np.array([0.0, 100, 150]), "sign": np.array([0.0, 1])}


def small(shape):
    return 1e-40 * np.random.default_rng(0).random(shape)


def large(shape):
    return 1e38 * np.random.default_rng(0).random(shape)


# Each kind of run, and the figures that read what is small or degenerate in it.
RUNS = {
    "nothing measured": (lambda folder: made(folder, rows=lambda job: []), (*METRICS, *OUTCOME, *SPIKES)),
    "before training": (rate(rows=lambda job: [row(job)]), METRICS),
    "nothing defined": (rate(rows=lambda job: [row(job, e, **NOTHING, test_error=None) for e in (0, 1)]), METRICS),
    "no error": (rate(rows=lambda job: [row(job, e, test_error=0.0, train_error=0.0, events=0) for e in (0, 1)]), METRICS),
    "one class": (
        rate(kept=activity(classes=1), outcome=((0, 0), (0, 0)), weighed=weights(n_out=1)), (*ACTIVITY, *OUTCOME, *WEIGHTS),
    ),
    "one test sample": (rate(outcome=((2,), (0,))), OUTCOME),
    "activities all alike": (rate(kept=activity(of=np.ones)), ACTIVITY),
    "activities of a layer all alike": (rate(kept={**activity(), "h1": np.full((12, 4), 0.3, np.float32)}), ACTIVITY),
    "activities zero": (rate(kept=activity(of=np.zeros)), ACTIVITY),
    "activities at -1": (rate(kept=activity(of=lambda shape: -np.ones(shape))), ACTIVITY),
    "activities below normal": (rate(kept=activity(of=small)), ACTIVITY),
    "activities beyond squares": (rate(kept=activity(of=large)), ACTIVITY),
    "no sample": (rate(kept=activity(0)), ACTIVITY),
    **{f"{n} samples": (rate(kept=activity(n)), ACTIVITY) for n in (1, 2, 3, 4)},
    "one neuron": (
        rate(kept=activity(hidden=(1, 1)), weighed=weights((1, 1)), network={"hidden": [1, 1]}), (*ACTIVITY, *WEIGHTS),
    ),
    "weights zero": (rate(weighed=weights(of=np.zeros)), WEIGHTS),
    "no spike": (spiking(), (*SPIKES, *ACTIVITY)),
    "one spike a layer": (spiking(spikes(**ONE)), SPIKES),
    "one spike in all": (spiking(spikes(**{key: value[:1] for key, value in ONE.items()})), SPIKES),
    "spikes of one compartment": (spiking(spikes(**ONE), propagation="live"), SPIKES),
    "gate shorter than the nudge": (
        spiking(spikes(**ONE, **GATED), states(**GATED), ZERO, nudging="one_sided", gate=20.0, propagation="live"), SPIKES,
    ),
    "no weight change": (
        spiking(
            spikes([110.0, 105], [1, 2], [0, 0], [False, False], [7, 7], **ONE_SIDED), states(**ONE_SIDED), ZERO,
            nudging="one_sided", propagation="live",
        ), CHANGES,
    ),
    "states of no neuron": (spiking(spikes(**ONE), states(neurons=())), STATES),
    "states at no time": (spiking(spikes(**ONE), states(time=())), STATES),
    "states at one time": (spiking(spikes(**ONE), states(time=(20.0,))), STATES),
    "a sweep of nothing": (rate(rows=lambda job: [row(job, **NOTHING)], condition=GRID, **IN_TIME), METRICS),
    "a sweep without an error": (
        rate(
            rows=lambda job: [row(job, relative_error_to_dfa=[0.0, 0.0], cosine_to_dfa=[1.0, 1.0])],
            condition=[{"name": str(b), "phases": {"beta": b}} for b in (0.01, 0.1, 1.0)],
        ), ("beta",),
    ),
    "a sweep of one value": (
        rate(
            rows=lambda job: [row(job, relative_error_to_dfa=[None, 0.1] if job.condition == "1.0" else [None, 0.0])],
            condition=[{"name": str(b), "phases": {"beta": b}} for b in (0.1, 1.0)],
        ), ("beta",),
    ),
    "bottlenecks of nothing": (
        rate(
            rows=lambda job: [row(job, **NOTHING, test_error=None)] if job.condition != "dfa-2" else [],
            condition=[
                *({"name": f"dfa-{b}", "rule": "dfa", "feedback": {"bottleneck": {2: b}}} for b in (1, 2, 3)),
                {"name": "bp-1", "rule": "bp"},
            ],
        ), ("bottleneck", "grid", "memorise"),
    ),
    "no modules": (rate(outcome=((2,), (0,))), ("dimensions", "sample", "views")),
    "many conditions": (rate(condition=[{"name": f"a-condition-with-a-longer-name-{i}"} for i in range(26)]), ("comparison",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The runs by kind, in folders that Matplotlib would read as mathematics."""
    folder = tmp_path_factory.mktemp("$x^$")
    return {name: make(folder / f"${number}^$") for number, (name, (make, _)) in enumerate(RUNS.items())}


def reason(figure, run):
    """Why a figure of a run cannot be drawn, one that localdfa gives; None where it can, and can be read at its own size."""
    try:
        drawn = figure.figure(run)
        drawn.set_size_inches(drawn.get_size_inches())
        caption = figure.caption(run)
    except RunError as error:
        return str(error)
    assert caption.endswith(".")
    assert "nan" not in caption
    return None


def reasons_of(page):
    """Why figures are not on a page, as it says."""
    return re.findall(r"<li>(\w+: .*?)</li>", page)


@pytest.mark.parametrize("kind", RUNS)
def test_each_figure_draws_or_says_why_not_and_there_is_a_report(runs, kind, monkeypatch):
    run, names = runs[kind], RUNS[kind][1]
    why = {name: why for name in names if (why := reason(analysis.get(name), run))}
    for name, text in why.items():
        assert str(run.folder) in text or "this run has no measure" in text, name
        assert "\n" not in text
    monkeypatch.setattr(analysis, "names", lambda: list(why))
    page = report.write(run).read_text(encoding="utf-8")
    assert len(reasons_of(page)) == len(why)
    assert "cannot be drawn:" not in page


def test_every_figure_is_drawn_of_some_degenerate_run():
    assert {name for _, names in RUNS.values() for name in names} == set(analysis.names())


# --- activities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("activities all alike", "the same in all samples"),
        ("no sample", "nothing is kept"),
        ("3 samples", "fewer than 4 samples"),
        ("one neuron", "one neuron"),
    ],
)
def test_what_t_sne_cannot_place_is_said(runs, kind, why):
    with pytest.raises(RunError, match=f"the figure tsne cannot place what its layers do: {why}"):
        tsne.figure(runs[kind])


def test_a_layer_that_cannot_be_placed_leaves_the_others(runs):
    first, second = tsne.figure(runs["activities of a layer all alike"]).axes
    assert [text.get_text() for text in first.texts] == ["the same in all samples"]
    assert sum(len(line.get_xdata()) for line in second.lines) == 12


def test_t_sne_does_not_depend_on_units():
    """What scikit-learn's squares have no room for in single precision lies where the same lies in other units."""
    of = activity()["h1"].astype(np.float64)
    small, large = (tsne._place(of * 2.0**power)[0] for power in (-120, 120))
    np.testing.assert_array_equal(small, large)
    assert np.ptp(small, axis=0).min() > 1


# --- spikes -----------------------------------------------------------------------------------------------------------


def test_raster_without_a_spike_says_so(runs):
    with pytest.raises(RunError, match="no neuron spikes in the trials that are kept"):
        raster.figure(runs["no spike"])


def test_one_trial_is_one_whose_spikes_are_kept_as_well(tmp_path):
    """Of two trials whose states are kept the feedback moves the neuron more in that without spikes."""
    seen = states()
    moved = np.linspace(0, 1, seen["z1"].shape[1])[None, :, None]
    seen |= {key: np.concatenate([seen[key], seen[key]]) for key in seen if key[:-1] in ("v", "x", "current", "drive")}
    seen |= {f"z{l}": np.concatenate([0.1 * moved, moved]) for l in (1, 2)} | {"trial": np.array([7, 9])}
    run = spiking(spikes(**ONE), seen)(tmp_path / "both")
    drawn = analysis.get("trial").figure(run)
    assert [line.get_xdata().tolist() for line in drawn.axes[0].lines] == [[], [120.0]]
    with pytest.raises(RunError, match="keeps no trial 9; there are 7"):
        analysis.get("trial").figure(run, trial=9)
    apart = spiking({**spikes(**ONE), "trials": np.array([8])}, seen)(tmp_path / "apart")
    with pytest.raises(RunError, match="spikes and states of no trial in common"):
        analysis.get("trial").figure(apart)


def test_bins_of_the_raster_end_where_phases_do(tmp_path):
    """A neuron that spikes every 10 ms, but for the free phase, in which it does every 2: no bin has some of both."""
    edges, sign = np.array([0.0, 107, 150, 257, 300]), np.array([0.0, 1, 0, -1])
    time = np.concatenate([np.arange(b + 0.5, e, 2 if s == 0 else 10) for (b, e), s in zip(pairwise(edges), sign, strict=True)])
    one = {
        "population": np.ones(len(time)),
        "neuron": np.zeros(len(time)),
        "twin": np.zeros(len(time)),
        "trial": np.zeros(len(time)),
    }
    run = spiking(spikes(time, **one, edges=edges, sign=sign), free=107.0, nudged=43.0)(tmp_path / "run")
    drawn = raster.figure(run)
    soma, twin = (patch.get_data() for patch in drawn.axes[2].patches[:2])
    assert set(edges) <= set(soma.edges)
    assert 50 <= len(soma.values) <= 70
    nudged = [sign[np.searchsorted(edges, middle) - 1] != 0 for middle in (soma.edges[1:] + soma.edges[:-1]) / 2]
    counts = soma.values * np.diff(soma.edges) / 1e3 * 4
    assert counts.sum() == pytest.approx(len(time))
    assert counts[np.array(nudged)].max() <= 1 + 1e-9
    assert counts[~np.array(nudged)].min() >= 2 - 1e-9
    assert np.isnan(twin.values[soma.edges[:-1] < 107]).all()
    assert not twin.values[soma.edges[:-1] >= 107].any()


def test_raster_says_how_many_layers_it_leaves_out(tmp_path):
    """Of deep networks five are drawn, also where these are few enough for all panels."""
    for hidden, said in (([4] * 7, " Of 7 layers 5 are drawn."), ([4] * 5, None)):
        deep = made(tmp_path / str(len(hidden)), **{**SPIKING, "network": {"hidden": hidden, "neuron": "lif"}})
        deep.jobs[0].write("spikes", spikes([110.0], [1], [0], [False], [7]))
        assert len(raster.figure(deep).axes) == 10
        assert raster.caption(deep).endswith(said) if said else "are drawn." not in raster.caption(deep).split("Below")[1]


def test_sweeps_have_the_layers_of_the_conditions_that_they_draw(tmp_path):
    """Others of the run may be deeper, or have no layer with a bottleneck."""

    def rows(job):
        deep = {"deep-1": 4, "one-1": 1, "images-1": 3}.get(job.condition, 2)
        return [row(job, depth=deep, relative_error_to_dfa=[float(job.condition.split("-")[-1])] * deep)]

    shallow = [{"name": f"b-{b}", "phases": {"beta": b}} for b in (0.01, 0.1, 1.0)]
    deeper = {"name": "deep-1", "rule": "dfa", "network": {"hidden": [4, 4, 4, 4]}}
    run = rate(rows=rows, condition=[*shallow, deeper], network={"hidden": [4, 3]})(tmp_path / "beta")
    texts = [text.get_text() for text in beta.figure(run).legends[0].get_texts()]
    assert [text for text in texts if text.startswith("layer")] == ["layer 1, slope 1.00", "layer 2, slope 1.00"]
    very = [{"name": f"v-{b}", "phases": {"beta": b}} for b in (0.01, 0.1, 1.0)]
    many = lambda job: [row(job, depth=7, relative_error_to_dfa=[float(job.condition.split("-")[-1])] * 7)]  # noqa: E731
    drawn = beta.figure(rate(rows=many, condition=very, network={"hidden": [4] * 7})(tmp_path / "seven"))
    legend = [text.get_text().partition(",")[0] for text in drawn.legends[0].get_texts() if text.get_text().startswith("layer")]
    labels = [line.get_label() for line in drawn.axes[0].lines]
    assert legend == ["layer 1", "layer 3", "layer 4", "layer 5", "layer 7"]
    assert [label for label in labels if label.startswith("layer") and "fitted" not in label] == [
        f"{layer}, centered" for layer in legend
    ]
    narrow = [{"name": f"{rule}-{b}", "rule": rule, "feedback": {"bottleneck": {2: b}}} for rule, b in (("dfa", 1), ("fa", 2))]
    others = [
        {"name": "one-1", "rule": "bp", "network": {"hidden": [4]}},
        {
            "name": "images-1",
            "rule": "bp",
            "network": {"hidden": [{"channels": 2, "kernel": 3}, {"channels": 2, "kernel": 3}, 5]},
        },
    ]
    for other in others:
        run = rate(rows=rows, condition=[*narrow, other], network={"hidden": [4, 3]})(tmp_path / other["name"])
        assert len(bottleneck.figure(run).axes) == 3
        assert "Without a bottleneck" not in bottleneck.caption(run)
        assert f"Not drawn, as there is no such layer: {other['name']}. " in bottleneck.caption(run)


def test_raster_shows_twins_where_there_are_some(runs):
    with_twins, without = (raster.figure(runs[kind]) for kind in ("one spike a layer", "spikes of one compartment"))
    assert [text.get_text() for text in with_twins.legends[0].get_texts()] == ["soma", "twin"]
    assert not without.legends
    assert "twin" not in raster.caption(runs["spikes of one compartment"])
    assert [text.get_text() for text in with_twins.axes[0].texts] == ["free", "+β", "free", "−β"]


def test_a_nudge_in_which_the_gate_closes_is_one_phase(runs):
    run = runs["gate shorter than the nudge"]
    assert [text.get_text() for text in raster.figure(run).axes[0].texts] == ["free", "+β"]
    shaded = analysis.get("trial").figure(run).axes[0].patches
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shaded] == [(0, 100), (100, 150), (100, 120)]


@pytest.mark.parametrize(
    ("window", "why"),
    [
        (
            [500.0, 100.0],
            r"record\.window: \[500\.0, 100\.0\] is not allowed: .* before it ends; allowed: \[begin, end\]",
        ),
        ([100.0, 100.0], r"record\.window: .* it does not begin before it ends"),
        ([300.0, 400.0], r"record\.window: it begins at 300 ms, when the trial is over; allowed: less than 300 ms"),
    ],
)
def test_a_window_without_a_time_in_it_is_refused(window, why):
    with pytest.raises(SpecError, match=why):
        spec.experiment({**SPIKING, "record": {"states": 1, "window": window}})
    assert spec.experiment({**SPIKING, "record": {"states": 1, "window": [299.0, 400.0]}}).record.window == [299, 400]


# --- sweeps -----------------------------------------------------------------------------------------------------------


def sweep(folder, *conditions, **tables):
    values = {"relative_error_to_dfa": [0.1, 0.1], "cosine_to_dfa": [0.9, 0.9]}
    named = [{"name": f"c{i}", **condition} for i, condition in enumerate(conditions)]
    return made(folder, rows=lambda job: [row(job, **values)], condition=named, **tables)


def test_a_sweep_joins_nothing_that_differs_in_more(tmp_path):
    """As quickstart, a rate network at one β and a spiking one at another."""
    run = sweep(tmp_path / "run", {"phases": {"beta": 0.1}}, {**SPIKING, "phases": {**SPIKING["phases"], "beta": 2.0}})
    with pytest.raises(RunError, match=r"differ in nothing but phases\.beta .*; there are no such; localdfa run digits-beta"):
        beta.figure(run)
    with pytest.raises(RunError, match=r"differ in nothing but phases\.beta .*; there are no such; localdfa run digits-map"):
        nudging_map.figure(run)


@pytest.mark.parametrize(
    "more",
    [{"optimiser": {"learning_rate": 0.1}}, {"phases": {"teacher": "drive"}}, {"precision": "float64"}, {"batch_size": 3}],
)
def test_any_other_key_sets_a_condition_apart(tmp_path, more):
    other = {**more, "phases": {**more.get("phases", {}), "beta": 1.0}}
    run = sweep(tmp_path / "run", *({"phases": {"beta": b}} for b in (0.1, 0.3)), other, {"rule": "dfa"})
    (axes,) = beta.figure(run).axes
    assert list(axes.lines[0].get_xdata()) == [0.1, 0.3]
    assert beta.caption(run).endswith("Drawn are c0, c1, which differ in nothing else; not c2.")


def test_of_several_sweeps_none_is_drawn(tmp_path):
    times = [{"free": 90.0, "nudged": 20.0, "propagation": "live"}, {"free": 90.0, "nudged": 30.0, "propagation": "live"}]
    grid = [{"phases": {"beta": b, **t}} for b in (0.1, 1.0) for t in times]
    run = sweep(tmp_path / "run", *grid, **IN_TIME)
    with pytest.raises(RunError, match="there are 2 groups of such"):
        beta.figure(run)
    assert nudging_map.figure(run).axes[0].images[0].get_array().shape == (2, 2)
    assert "Drawn are" not in nudging_map.caption(run)
    with pytest.raises(RunError, match="c0 and c4 do not differ in it"):
        nudging_map.figure(sweep(tmp_path / "twice", *grid, grid[0], **IN_TIME))


def test_a_window_of_the_map_has_one_free_phase(tmp_path):
    times = [{"free": 90.0, "nudged": 20.0, "propagation": "live"}, {"free": 80.0, "nudged": 30.0, "propagation": "live"}]
    run = sweep(tmp_path / "run", *({"phases": {"beta": b, **t}} for b in (0.1, 1.0) for t in times), **IN_TIME)
    assert nudging_map.figure(run).axes[0].images[0].get_array().shape == (2, 2)
    times.append({"free": 91.0, "nudged": 20.0, "propagation": "live"})
    run = sweep(tmp_path / "other", *({"phases": {"beta": b, **t}} for b in (0.1, 1.0) for t in times), **IN_TIME)
    with pytest.raises(RunError, match="there are no such"):
        nudging_map.figure(run)


# --- many conditions, small figures, text -----------------------------------------------------------------------------


def test_many_conditions_have_a_panel_each(runs):
    run = runs["many conditions"]
    drawn = errors.figure(run)
    assert len(drawn.axes) == 24
    for number, axes in enumerate(drawn.axes):
        assert axes.get_title().replace("\n", "") == f"a-condition-with-a-longer-name-{number}"
        labels = [line.get_label() for line in axes.lines]
        assert labels.count("test error of the others") == 25
        assert [label for label in labels if "others" not in label] == ["training error", "test error"]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "training error", "test error", "test error of the others",
    ]  # fmt: skip
    assert errors.caption(run).count("Of 26 conditions the first 24 are drawn.") == 1
    drawn.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in drawn.axes]
    assert not any(a.shrunk(0.98, 0.98).overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_without_a_test_part_the_others_are_of_training(tmp_path):
    conditions = [{"name": f"c{n}", "phases": {"beta": 0.1 + n}} for n in range(9)]

    def rows(job):
        return [{key: value for key, value in row(job, epoch).items() if not key.startswith("test")} for epoch in (0, 1)]

    run = made(tmp_path / "run", rows=rows, condition=conditions)
    for axes in errors.figure(run).axes:
        labels = [line.get_label() for line in axes.lines]
        assert labels.count("training error of the others") == 8
        assert not any("test" in label for label in labels)
    assert "with the training errors of all others in grey" in errors.caption(run)


@pytest.mark.parametrize("name", ["pca", "confusion", "fields"])
def test_panels_of_many_conditions_do_not_overlap(runs, name):
    drawn = analysis.get(name).figure(runs["many conditions"])
    drawn.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in drawn.axes]
    assert not any(a.shrunk(0.97, 0.97).overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    page = drawn.get_tightbbox()
    assert page.y0 >= -0.01
    assert "are drawn." in analysis.get(name).caption(runs["many conditions"])


def test_text_is_text(runs, tmp_path):
    """Of a run whose folder is named $x^$: what Matplotlib would read as mathematics, and fail at."""
    two = [runs["before training"], runs["one class"]]
    drawn = analysis.get("comparison").figure(*two)
    names = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert all("^$: local" in name for name in names)
    drawn.axes[0].set_title("$x^$")
    with style.context():
        drawn.axes[0].set_title("$x^$")
    assert drawn.content("pdf").startswith(b"%PDF")


def test_ticks_of_a_logarithmic_axis_need_no_mathematics():
    with style.context():
        drawn = style.Figure(3, 3)
        left, right = drawn.subplots(1, 2)
        left.semilogy([1, 2], [1e-12, 1.0])
        right.semilogy([1, 2], [3e4, 5e4])
        for axes in (left, right):
            style.powers(axes.yaxis)
        drawn.draw_without_rendering()
    of_left = [text.get_text() for text in left.get_yticklabels() if text.get_text()]
    assert "10⁻¹²" in of_left
    assert "10⁰" in of_left
    assert "4×10⁴" in [text.get_text() for text in right.get_yticklabels(minor=True)]


def test_fields_say_what_training_started_from(tmp_path):
    def said(**tables):
        return fields.caption(made(tmp_path / str(len(list(tmp_path.iterdir()))), **tables))

    assert "Training started from zero, so all that is seen is learned." in said()
    assert "noise is what training started from" in said(network={"hidden": [4, 3], "weights": "uniform"})
    both = said(condition=[{"name": "a"}, {"name": "b", "rule": "bp"}])
    assert "from zero, so that all that is seen is learned: a; from random weights, which are the noise: b." in both


# --- reports and files ------------------------------------------------------------------------------------------------


def broken(run):
    raise ZeroDivisionError("a reason\nof two lines")


def test_a_figure_that_fails_leaves_the_report(runs, monkeypatch):
    run = runs["before training"]
    monkeypatch.setattr(analysis.get("events"), "figure", broken)
    monkeypatch.setattr(analysis, "names", lambda: ["errors", "events", "raster"])
    text = report.write(run).read_text(encoding="utf-8")
    reasons = reasons_of(text)
    assert reasons[0] == f"events: {run.folder}: the figure events cannot be drawn: ZeroDivisionError: a reason"
    assert "raster: " in reasons[1]
    (image,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', text)
    assert b"<svg" in base64.b64decode(image)


def test_what_comes_after_a_figure_that_cannot_be_drawn_is(runs, tmp_path):
    run, said = runs["before training"], []
    with pytest.raises(RunError, match=r"keeps no spikes, which the figure raster needs.*\n.*joins conditions"):
        said.extend(report.plot([run], ["raster", "errors", "beta", "weights"], out=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"errors.png", "weights.png"}


def test_files_are_written_before_anything_is_printed(runs):
    run, there = runs["one test sample"], []

    class Watching(StringIO):
        def write(self, text):
            there.append((run.folder / "report.html").is_file())
            return super().write(text)

    (run.folder / "report.html").unlink(missing_ok=True)
    cli._report(run.folder, Console(file=Watching()))
    assert len(there) >= 2
    assert all(there)


def test_the_table_is_printed_though_the_report_cannot_be_written(runs, tmp_path):
    run, text = RUNS["one test sample"][0](tmp_path / "run"), StringIO()
    (run.folder / "report.html").mkdir()
    with pytest.raises(RunError, match=r"report\.html: cannot be written"):
        cli._report(run.folder, Console(file=text))
    assert "condition" in text.getvalue()
    assert "50.00" in text.getvalue()
    assert "report: " not in text.getvalue()
