"""Each figure: what is drawn of real runs is what they hold, on labelled axes."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
import test_figures_degenerate as degenerate
import threadpoolctl
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as MatplotlibFigure
from scipy.integrate import trapezoid

from localdfa import analysis, record, spec, train
from localdfa.analysis import (
    _heat,
    beta,
    bottleneck,
    comparison,
    confusion,
    depth,
    events,
    feedback,
    fields,
    firing,
    grid,
    memorise,
    norms,
    pca,
    raster,
    rates,
    report,
    style,
    theorem,
    trial,
    tsne,
    window,
)
from localdfa.analysis import map as nudging_map
from localdfa.analysis import singular as singular_values
from localdfa.analysis import weights as weight_distribution
from localdfa.errors import RunError
from localdfa.neurons.lif import LIF

NAMES = ["local", "ifa", "bp"]
# Labels of what has no unit.
PLAIN = {
    "Epoch", "Predicted class", "True class", "Index", "Weight", "Singular value", "Mean activity", "Nudging strength β",
    "Hidden layer", "‖W‖", "‖B‖", "‖ΔW‖", "‖ΔW‖ / ‖W‖",
    "Relative error to exact DFA", "Cosine to exact DFA", "Weight change of a pair", "Weight change ∫ x dz",
    "Cosine to gradient", "Training loss", "phases.beta", "Rule", "Of the signal", "Of the gradient",
}  # fmt: skip


def jobs(run, name):
    return [job for job in run.jobs if job.condition == name]


def line(axes, name):
    (found,) = [found for found in axes.lines if found.get_label() == name]
    return np.array(found.get_xdata(), float), np.array(found.get_ydata(), float)


def last(run, name, key):
    return {job.seed: job.metrics[-1][key] for job in jobs(run, name)}


def assert_on_the_page(drawn):
    """Nothing is cut off at the edges of a figure, and no panel covers another's labels."""
    drawn.draw_without_rendering()
    page = drawn.get_tightbbox()
    assert page.x0 >= -0.01
    assert page.y0 >= -0.01
    assert page.x1 <= drawn.get_figwidth() + 0.01
    assert page.y1 <= drawn.get_figheight() + 0.01
    boxes = [axes.get_tightbbox() for axes in drawn.axes if axes.get_visible()]
    assert not any(a.shrunk(0.98, 0.98).overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# Pictures and texts, which have no axes.
WITHOUT_AXES = ("sample", "views")


@pytest.mark.parametrize("name", sorted(set(analysis.names()) - set(WITHOUT_AXES)))
def test_every_axis_has_a_label_with_a_unit_and_every_panel_a_letter(request, name):
    kind = {
        **dict.fromkeys(("beta", "sweep"), "beta_run"),
        "bottleneck": "bottleneck_run",
        "dimensions": "views_run",
        "grid": "bottleneck_run",
        "map": "map_run",
        "pairs": "pairs_run",
        **dict.fromkeys(("raster", "trial", "window"), "spiking_run"),
    }.get(name, "rate_run")
    run = request.getfixturevalue(kind)
    drawn = analysis.get(name).figure(run)
    panels = [axes for axes in drawn.axes if axes.get_label() != "<colorbar>"]
    if len(panels) > 1:
        assert [axes.get_title("left") for axes in panels] == list("abcdefghijklmnop"[: len(panels)])
    labels = [label for axes in drawn.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    assert labels
    for label in labels:
        assert ("(" in label) != (label in PLAIN), label
        assert "(1)" not in label
    for axes in panels:
        if axes.lines and name != "comparison":
            shared = axes.get_shared_x_axes().get_siblings(axes)
            assert any(each.get_xlabel() for each in shared) or any(each.get_xlabel() for each in panels)
    assert_on_the_page(drawn)
    text = analysis.get(name).caption(run)
    assert text.endswith(".")
    assert "seed" in text


def test_views_are_those_that_were_seen_and_rendered(views_run):
    drawn = analysis.get("views").figure(views_run)
    panels = np.array(drawn.axes).reshape(4, 4)
    assert [axes.get_ylabel() for axes in panels[:, 0]] == ["seen", "bp", "dfa", "local"]
    outcomes = {name: jobs(views_run, name)[0].outcome for name in ("bp", "dfa", "local")}
    for row, outcome in zip(panels[1:], outcomes.values(), strict=True):
        for axes, place in zip(row, (0, 1, 3, 4), strict=True):  # of five
            image, true = outcome["image"][place].astype(float), outcome["true"][place].astype(float)
            np.testing.assert_allclose(np.array(axes.images[0].get_array()), np.clip(image, 0, 1))
            assert axes.get_xlabel() == f"{10 * np.log10(1 / np.mean((image - true) ** 2)):.1f} dB"
    assert_on_the_page(drawn)
    assert analysis.get("views").caption(views_run).startswith("Views that were held out from training")


@pytest.mark.parametrize("name", ["errors", "raster", "comparison"])
def test_a_talk_has_larger_text_on_a_larger_figure(spiking_run, name):
    paper = analysis.get(name).figure(spiking_run)
    with style.using("talk"):
        talk = analysis.get(name).figure(spiking_run)
    assert talk.get_figwidth() == pytest.approx(1.5 * paper.get_figwidth())
    ratio = talk.axes[0].xaxis.label.get_size() / paper.axes[0].xaxis.label.get_size()
    assert ratio == pytest.approx(style.STYLES["talk"].text)
    assert ratio > 1.5
    assert talk.content("png") != paper.content("png")  # saved in its own style, outside of `using`


# --- over training ----------------------------------------------------------------------------------------------------


def test_theorem_is_drawn(rate_run):
    drawn = theorem.figure(rate_run)
    assert [axes.get_ylabel() for axes in drawn.axes[::2]] == ["K (activity)", "L (error)", "β (°)"]
    for i, axes in enumerate(drawn.axes):
        key, layer = ("theorem_k", "theorem_l", "theorem_beta")[i // 2], i % 2
        for name in NAMES:
            x, y = line(axes, name)
            assert list(x) == [0, 1, 2, 3]
            assert y[-1] == pytest.approx(fmean(value[layer] for value in last(rate_run, name, key).values()))
    beta = line(drawn.axes[5], "bp")[1]
    assert np.nanmax(beta) < 1e-4  # the last layer's δh under BP is the gradient


def test_firing_is_drawn(rate_run, spiking_run):
    assert [axes.get_ylabel() for axes in firing.figure(rate_run).axes[::2]] == ["Silent (%)", "Saturated (%)"]
    drawn = firing.figure(spiking_run)
    assert [axes.get_ylabel() for axes in drawn.axes[::2]] == ["Mean rate (Hz)", "Silent (%)", "Saturated (%)"]
    for layer in (0, 1):
        for axes, key, factor in ((drawn.axes[layer], "rate", 1), (drawn.axes[2 + layer], "silent", 100)):
            assert line(axes, "local")[1][-1] == pytest.approx(factor * last(spiking_run, "local", key)[3][layer])
            assert axes.get_ylim()[0] == 0


def test_events_are_drawn(rate_run):
    left, right = events.figure(rate_run).axes
    assert (left.get_ylabel(), right.get_xlabel()) == ("Events per epoch (count)", "Events so far (count)")
    for name in NAMES:
        rows = [job.metrics for job in jobs(rate_run, name)]
        x, y = line(left, name)
        assert list(x) == [1, 2, 3]
        assert y == pytest.approx([fmean(seed[e]["events"] - seed[e - 1]["events"] for seed in rows) for e in (1, 2, 3)])
        x, y = line(right, name)
        assert x == pytest.approx([fmean(seed[e]["events"] for seed in rows) for e in (1, 2, 3)])
        assert y == pytest.approx([fmean(seed[e]["test_error"] for seed in rows) for e in (1, 2, 3)])


def test_feedback_is_drawn_by_synapses_and_events(rate_run):
    """BP has no matrix B and no point."""
    left, right = feedback.figure(rate_run).axes
    for name in ("local", "ifa"):
        ends = [job.metrics[-1] for job in jobs(rate_run, name)]
        error, events_of = fmean(row["test_error"] for row in ends), fmean(row["feedback_events"] for row in ends)
        assert [float(v[0]) for v in line(left, name)] == pytest.approx([100, error])
        assert [float(v[0]) for v in line(right, name)] == pytest.approx([events_of, error])
    assert not [each for each in left.lines if each.get_label() == "bp"]
    assert "left out: bp." in feedback.caption(rate_run)


def test_norms_are_drawn_by_layer(rate_run):
    """BP has no B; that of the local rule stays as it is."""
    drawn = norms.figure(rate_run)
    for name in NAMES:
        for row, key in enumerate(("weight_norm", "feedback_norm", "update_norm")):
            for layer in (0, 1):
                axes = drawn.axes[2 * row + layer]
                if (name, key) == ("bp", "feedback_norm") or (name, key, layer) == ("ifa", "feedback_norm", 1):
                    assert np.isnan(line(axes, name)[1]).all()
                    continue
                expected = [fmean(job.metrics[e][key][layer] for job in jobs(rate_run, name)) for e in range(4)]
                assert line(axes, name)[1] == pytest.approx(expected)
    assert len(set(line(drawn.axes[2], "local")[1])) == 1


def test_depth_has_a_column_for_each_number_of_layers_and_joins_what_differs_in_layers_alone(tmp_path):
    conditions = [
        {"name": f"{rule}-{depth}", "rule": rule, "network": {"hidden": [4] * depth}}
        for depth in (1, 3)
        for rule in ("fa", "bp")
    ]
    tables = {"seeds": [0, 1], "condition": conditions, "batch_size": 256, "network": {"weights": "uniform"}}
    run = train.run(spec.experiment(tables, stage=[{"epochs": 1}], record={"probe": 16}), tmp_path / "run")
    drawn = depth.figure(run)
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["1 layer", "3 layers"]
    for column, layers in enumerate((1, 3)):
        angle, of_b, size = drawn.axes[column::2]
        rows = [job.metrics[-1] for job in jobs(run, f"fa-{layers}")]
        for axes, of in (
            (angle, lambda row, l: row["angle_to_bp"][l]),
            (of_b, lambda row, l: math.degrees(math.acos(row["alignment"][l]))),
            (size, lambda row, l: row["update_norm"][l] / row["weight_norm"][l]),
        ):
            x, y = line(axes, "fa")
            assert list(x) == list(range(1, layers + 1))
            assert y == pytest.approx([fmean(of(row, l) for row in rows) for l in range(layers)])
        assert np.isnan(line(of_b, "bp")[1]).all() or not [each for each in of_b.lines if each.get_label() == "bp"]
    assert {text.get_text() for text in drawn.legends[0].get_texts()} == {"fa", "bp"}


@pytest.mark.parametrize(
    ("hidden", "lines"),
    [
        ({"hidden-4": [4], "hidden-30": [30], "hidden-4-4": [4, 4]}, {"hidden-4": [1, 2], "hidden-30": [1]}),
        ({"a": [4, 3, 3], "b": [4, 4, 3], "c": [3]}, {"a": [3], "b": [3], "c": [1]}),
        ({"a-1": [5], "a-2": [4, 4], "a-3": [3, 4, 4]}, {"a": [1, 2, 3]}),
        ({f"n-{n}": [n] for n in range(2, 11)}, {f"n-{n}": [1] for n in range(2, 11)}),
        ({"a-1x": [4], "a-1y": [4, 4], "a-1": [5]}, {"a-1": [1], "a-1x": [1, 2]}),
    ],
)
def test_depth_shows_every_condition(tmp_path, hidden, lines):
    names = list(hidden)

    def rows(job):
        layers = len(hidden[job.condition])
        return [degenerate.row(job, depth=layers, angle_to_bp=[10.0 * (1 + names.index(job.condition))] * layers)]

    conditions = [{"name": name, "network": {"hidden": layers}} for name, layers in hidden.items()]
    drawn = depth.figure(degenerate.made(tmp_path, rows, condition=conditions))
    deep = sorted({len(layers) for layers in hidden.values()})
    found, seen = {}, set()
    for axes, layers in zip(drawn.axes, deep, strict=False):
        for each in axes.lines[1:]:  # the first is the level
            found.setdefault(each.get_label(), []).append(layers)
            seen |= {float(angle) for angle in each.get_ydata()}
    assert seen == {10.0 * (1 + place) for place in range(len(hidden))}
    assert {text.get_text() for text in drawn.legends[0].get_texts()} == set(found)
    assert sorted(found.values()) == sorted(lines.values())
    if names[0] != "a-1x":
        assert found == lines


def test_depth_says_how_many_numbers_of_layers_it_shows(tmp_path):
    conditions = [{"name": f"n-{n}", "network": {"hidden": [3] * n}} for n in range(1, 8)]
    run = degenerate.made(tmp_path, lambda job: [degenerate.row(job, depth=int(job.condition[2:]))], condition=conditions)
    assert len(depth.figure(run).axes) == 3 * 5
    assert depth.caption(run).endswith("Of 7 numbers of layers 5 are drawn.")


def test_events_of_a_run_that_has_just_begun(tmp_path):
    """One of several seeds has trained an epoch, the others have not begun."""

    def rows(job):
        return [] if job.seed else [degenerate.row(job, epoch, events=40 * epoch) for epoch in (0, 1)]

    left, _ = events.figure(degenerate.made(tmp_path, rows, seeds=[0, 1, 2, 3])).axes
    (only,) = left.lines
    assert (list(only.get_xdata()), list(only.get_ydata())) == ([1], [40])


def test_bottleneck_shows_cosines_and_errors_by_the_neurons_that_are_reached(bottleneck_run):
    *cosines, errors = bottleneck.figure(bottleneck_run).axes
    for rule, numbers in (("dfa", [1, 3, 5]), ("local", [1, 5]), ("bp", [5])):
        for layer, axes in enumerate(cosines):
            x, y = line(axes, rule)
            assert list(x) == numbers
            means = [fmean(v[layer] for v in last(bottleneck_run, f"{rule}-{n}", "signal_cosine").values()) for n in numbers]
            assert y == pytest.approx(means)
        assert line(errors, rule)[1] == pytest.approx(
            [fmean(last(bottleneck_run, f"{rule}-{n}", "test_error").values()) for n in numbers]
        )
    assert line(cosines[0], "bp")[1] == pytest.approx([1.0])
    (band, *_) = cosines[1].collections
    spread = fmean(v[1] for v in last(bottleneck_run, "dfa-1", "signal_cosine_sd").values())
    mean = line(cosines[1], "dfa")[1][0]
    assert band.get_datalim(cosines[1].transData).y0 <= mean - spread + 1e-9
    assert "Without a bottleneck are: bp." in bottleneck.caption(bottleneck_run)
    assert "of hidden layer 2 that the signal reaches" in bottleneck.caption(bottleneck_run)


def test_bottleneck_says_what_it_lacks(rate_run, tmp_path):
    with pytest.raises(RunError, match=r"needs conditions with feedback.bottleneck of one layer, and there are none; .*digits"):
        bottleneck.figure(rate_run)
    two = [{"name": f"{l}", "rule": "dfa", "feedback": {"bottleneck": {l: 2}}} for l in (1, 2)]
    same = [{"name": name, "rule": "dfa", "feedback": {"bottleneck": {2: 2}}} for name in ("a", "b")]
    for conditions, why in ((two, "there are those of 2 layers"), (same, "a and b do not differ in it")):
        tables = spec.experiment(condition=conditions, network={"hidden": [4, 3]}, stage=[{"epochs": 1}], record={"probe": 8})
        run = train.run(tables, tmp_path / conditions[0]["name"])
        with pytest.raises(RunError, match=why):
            bottleneck.figure(run)


def test_grid_has_a_cell_for_each_rule_and_variant(bottleneck_run):
    drawn = grid.figure(bottleneck_run)
    panels = [axes for axes in drawn.axes if axes.get_label() != "<colorbar>"]
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["dfa", "local", "bp"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["1", "3", "5"]
    errors, cosines = (np.ma.filled(axes.images[0].get_array(), np.nan) for axes in panels)
    for row, number in enumerate((1, 3, 5)):
        for column, rule in enumerate(("dfa", "local", "bp")):
            name = f"{rule}-{number}"
            if name not in bottleneck_run.settings:
                assert np.isnan([errors[row, column], cosines[row, column]]).all()
                continue
            assert errors[row, column] == pytest.approx(fmean(last(bottleneck_run, name, "test_error").values()))
            means = [fmean(layers) for layers in last(bottleneck_run, name, "signal_cosine").values()]
            assert cosines[row, column] == pytest.approx(fmean(means))


def test_grid_has_a_cell_for_one_condition_alone(tmp_path):
    names = {"dfa-wide": "dfa", "wide": "dfa", "bp-wide": "bp", "dfa-slim": "dfa", "bp-slim": "bp"}
    conditions = [{"name": name, "rule": rule} for name, rule in names.items()]
    tables = spec.experiment(condition=conditions, network={"hidden": [4]}, stage=[{"epochs": 1}], record={"probe": 8})
    run = train.run(tables, tmp_path / "run")
    with pytest.raises(RunError, match="in the figure grid dfa-wide and wide would have one cell, wide by dfa"):
        grid.figure(run)


def test_a_map_prints_values_of_any_size():
    with style.context():
        axes = style.Figure(3, 2).subplots()
        _heat.draw(axes, np.array([[0.5, 9.9], [99.96, 1234.0], [0.0, np.nan]]), "", style.UNSIGNED, (0, 1))
        assert [text.get_text() for text in axes.texts] == ["0.500", "9.90", "100", "1234", "0.00", "–"]


def test_grid_needs_rules_and_variants(rate_run):
    with pytest.raises(RunError, match="needs two rules or more, and conditions named RULE-WHAT of two kinds or more"):
        grid.figure(rate_run)


def test_memorise_shows_loss_and_cosines_on_one_axis(rate_run):
    drawn = memorise.figure(rate_run)
    assert [axes.get_ylabel() for axes in drawn.axes[::2]] == ["Training loss", "Cosine to gradient"]
    for layer in (0, 1):
        loss, cosine = drawn.axes[layer], drawn.axes[2 + layer]
        assert loss.get_xlim() == cosine.get_xlim()
        for name in NAMES:
            assert line(loss, name)[1][-1] == pytest.approx(fmean(last(rate_run, name, "train_loss").values()))
            found = [value[layer] for value in last(rate_run, name, "signal_cosine").values()]
            assert line(cosine, name)[1][-1] == pytest.approx(fmean(found))
    assert line(drawn.axes[2], "bp")[1] == pytest.approx(1)


def test_feedback_needs_matrices(tmp_path):
    bp = train.run(spec.experiment(rule="bp", network={"hidden": [4]}, stage=[{"epochs": 1}]), tmp_path / "run")
    with pytest.raises(RunError, match="needs an error that passes matrices B, and no condition has any"):
        feedback.figure(bp)


# --- weights and activities -------------------------------------------------------------------------------------------


def test_weights_are_drawn(rate_run):
    drawn = weight_distribution.figure(rate_run)
    assert [axes.get_title() for axes in drawn.axes] == ["Hidden layer 1", "Hidden layer 2", "Output"]
    for axes, key in zip(drawn.axes, ("W1", "W2", "W3"), strict=True):
        assert axes.get_yscale() == "log"
        for name in NAMES:
            x, y = line(axes, name)
            assert np.nansum(y) == pytest.approx(100)
            pooled = np.concatenate([job.weights[key].ravel() for job in jobs(rate_run, name)])
            half = (x[1] - x[0]) / 2
            centre = len(x) // 3
            inside = 100 * np.mean((pooled >= x[centre] - half) & (pooled < x[centre] + half))
            assert np.nan_to_num(y)[centre] == pytest.approx(inside)


def test_singular_values_are_drawn(rate_run):
    drawn = singular_values.figure(rate_run)
    for axes, key in zip(drawn.axes, ("W1", "W2", "W3"), strict=True):
        for name in NAMES:
            x, y = line(axes, name)
            assert x[0] == 1
            matrices = [job.weights[key].astype(float) for job in jobs(rate_run, name)]
            assert y[0] == pytest.approx(fmean(np.linalg.norm(w, 2) for w in matrices), rel=1e-6)
            least = min(np.sqrt(np.linalg.eigvalsh(w @ w.T if w.shape[0] < w.shape[1] else w.T @ w)[0]) for w in matrices)
            if least > 1e-3:
                assert np.nanmin(y) >= least * 0.999


def test_receptive_fields_are_the_largest_rows_of_the_weights(rate_run):
    drawn = fields.figure(rate_run)
    assert [axes.get_title() for axes in drawn.axes[:3]] == NAMES
    for axes, name in zip(drawn.axes[:3], NAMES, strict=True):
        mosaic, first = axes.images[0].get_array(), jobs(rate_run, name)[0].weights["W1"]
        largest = first[np.linalg.norm(first, axis=1).argmax()].reshape(8, 8)
        np.testing.assert_array_equal(mosaic[:8, :8], largest)
        assert np.ma.is_masked(mosaic[8, 0])
        low, high = axes.images[0].get_clim()
        assert (low, high) == (-high, high)
    assert drawn.axes[3].get_xlabel() == "Weight"


def test_receptive_fields_in_colour(tmp_path, rate_run):
    rng = np.random.default_rng(0)
    run = record.create(tmp_path / "run", rate_run.experiment)
    run.update_info(shape=[3, 4, 5])
    w = rng.normal(size=(2, 60)).astype(np.float32)
    run.jobs[0].write("weights", {"W1": w})
    shown = fields.figure(run).axes[0].images[0].get_array()
    assert shown.shape == (4, 2 * 6 - 1, 3)  # two neurons beside each other
    largest = w[np.linalg.norm(w, axis=1).argmax()].reshape(3, 4, 5)
    np.testing.assert_allclose(shown[:4, :5], 0.5 + largest.transpose(1, 2, 0) / (2 * np.abs(w).max()), rtol=1e-6)
    assert (shown[:, 5] == 1).all()


@pytest.mark.parametrize(("kind", "label"), [("rate_run", "Mean activity"), ("spiking_run", "Mean firing rate (Hz)")])
def test_rates_are_drawn(kind, label, request):
    run = request.getfixturevalue(kind)
    drawn = rates.figure(run)
    assert [axes.get_xlabel() for axes in drawn.axes] == [label, label]
    for layer, axes in enumerate(drawn.axes, 1):
        x, y = line(axes, "local")
        assert y.sum() == pytest.approx(100)
        means = [rates.of_layers(job)[layer - 1].mean(axis=0) for job in jobs(run, "local")]
        assert x.min() - (x[1] - x[0]) <= min(each.min() for each in means)
        centre = fmean(float(each.mean()) for each in means)
        assert (x * y).sum() / 100 == pytest.approx(centre, abs=x[1] - x[0])


def test_rates_of_conditions_of_different_kind_and_depth(rate_run, spiking_run, tmp_path):
    """A layer that only the other kind has is left out, not drawn empty."""
    tables = {
        "condition": [{"name": "rate"}, {"name": "spikes", "network": {"neuron": "lif", "hidden": [12]}}],
        "network": {"hidden": [6, 5]}, "phases": {"free": 400.0},
    }  # fmt: skip
    run = record.create(tmp_path / "run", spec.experiment(tables))
    kept = spiking_run.jobs[0].activity
    run.jobs[0].write("activity", rate_run.jobs[0].activity)
    run.jobs[1].write("activity", {key: kept[key] for key in ("rate1", "label", "sample")})
    drawn = rates.figure(run)
    assert [axes.get_visible() for axes in drawn.axes] == [True, False, True, True]
    assert [axes.get_title("left") for axes in drawn.axes if axes.get_visible()] == list("abc")
    assert_on_the_page(drawn)


def test_principal_components_are_those_of_the_covariance(rate_run):
    drawn = pca.figure(rate_run)
    assert [axes.get_title() for axes in drawn.axes] == [*NAMES, *[""] * 6]
    kept = jobs(rate_run, "ifa")[0].activity
    axes, h = drawn.axes[7], kept["h2"].astype(float)
    values, vectors = np.linalg.eigh(np.cov(h.T))
    assert axes.get_xlabel() == f"PC 1 ({100 * values[-1] / values.sum():.0f} %)"
    drawn_points = np.concatenate([np.column_stack(l.get_data()) for l in axes.lines])
    assert len(drawn_points) == 40
    expected = (h - h.mean(axis=0)) @ vectors[:, :-3:-1]
    own = np.concatenate([expected[kept["label"] == label] for label in np.unique(kept["label"])])
    np.testing.assert_allclose(np.abs(drawn_points), np.abs(own), atol=1e-6)
    assert {text.get_text() for text in axes.texts} == {str(label) for label in np.unique(kept["label"])}
    colours = {to_rgb(l.get_color()) for l in axes.lines}
    assert len(colours) == len(axes.lines)


def test_tsne_is_drawn(spiking_run):
    drawn = tsne.figure(spiking_run)
    assert len(drawn.axes) == 6
    for axes in drawn.axes:
        points = np.concatenate([np.column_stack(l.get_data()) for l in axes.lines])
        assert points.shape == (30, 2)
        assert np.isfinite(points).all()
        assert axes.get_xlabel() == "t-SNE 1 (a.u.)"


def with_conditions(rate_run, folder, names):
    """A run of these conditions with the activities of a real one."""
    tables = rate_run.experiment.model_dump(exclude={"condition", "seeds"}, exclude_none=True)
    run = record.create(folder, spec.experiment({**tables, "condition": [{"name": name} for name in names]}))
    for job in run.jobs:
        job.write("activity", rate_run.jobs[0].activity)
    return run


@pytest.mark.parametrize("module", [pca, tsne], ids=["pca", "tsne"])
def test_five_conditions_stand_beside_each_other(rate_run, tmp_path, module):
    names = [f"c{i}" for i in range(5)]
    drawn = module.figure(with_conditions(rate_run, tmp_path / "run", names))
    assert [axes.get_title() for axes in drawn.axes[:5]] == names
    assert [axes.get_ylabel().partition("\n")[0] for axes in drawn.axes[::5]] == ["Inputs", "Hidden layer 1", "Hidden layer 2"]
    assert_on_the_page(drawn)


def test_where_layers_are_more_than_conditions_these_go_down_the_page(rate_run, tmp_path):
    """As in Figure 3 of Nøkland 2016: inputs and layers from left to right, a rule above the other."""
    drawn = pca.figure(with_conditions(rate_run, tmp_path / "run", ["bp", "dfa"]))
    assert [axes.get_ylabel().partition("\n")[0] for axes in drawn.axes[::3]] == ["bp", "dfa"]
    assert [axes.get_title() for axes in drawn.axes[:3]] == ["Inputs", "Hidden layer 1", "Hidden layer 2"]
    assert_on_the_page(drawn)


def test_more_conditions_than_fit_go_down_the_page(rate_run, tmp_path):
    names = [f"c{i}" for i in range(6)]
    drawn = pca.figure(with_conditions(rate_run, tmp_path / "run", names))
    assert [axes.get_ylabel().partition("\n")[0] for axes in drawn.axes[::3]] == names
    assert [axes.get_title() for axes in drawn.axes[:3]] == ["Inputs", "Hidden layer 1", "Hidden layer 2"]


# --- outcome ----------------------------------------------------------------------------------------------------------


def test_confusion_counts_the_test_set(rate_run):
    drawn = confusion.figure(rate_run)
    for axes, name in zip(drawn.axes[:3], NAMES, strict=True):
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (name, "Predicted class", "True class")
        found = axes.images[0].get_array()
        kept = [job.outcome for job in jobs(rate_run, name)]
        pairs = [pair for each in kept for pair in zip(each["label"], each["prediction"], strict=True)]
        for true, predicted in ((3, 8), (9, 0), (1, 7)):
            expected = 100 * pairs.count((true, predicted)) / sum(t == true for t, _ in pairs)
            assert found[true, predicted] == pytest.approx(expected)
        assert np.ma.getmaskarray(found).diagonal().all()
        wrong = np.mean([t != p for t, p in pairs]) * 100
        assert wrong == pytest.approx(fmean(last(rate_run, name, "test_error").values()))
    assert "all 3 seeds together" in confusion.caption(rate_run)


def test_comparison_of_conditions(rate_run):
    left, right = comparison.figure(rate_run).axes
    assert [text.get_text() for text in left.get_yticklabels()] == NAMES
    for name, bar in zip(NAMES, left.patches, strict=True):
        assert bar.get_width() == pytest.approx(fmean(last(rate_run, name, "test_error").values()))
    for bars, name in zip(left.collections, NAMES, strict=True):
        (low, _), (high, _) = bars.get_segments()[0]
        assert high - low == pytest.approx(2 * stdev(last(rate_run, name, "test_error").values()))
    base, ifa = (last(rate_run, name, "test_error") for name in ("local", "ifa"))
    points = [found for found in right.lines if found.get_marker() == "o"]
    assert list(points[0].get_xdata()) == pytest.approx([ifa[seed] - base[seed] for seed in ifa])
    means = [found.get_xdata()[0] for found in right.lines if found.get_marker() == "D"]
    assert means[0] == pytest.approx(fmean(ifa[seed] - base[seed] for seed in ifa))
    assert right.get_xlabel() == "Difference to local (percentage points)"
    assert "3 seeds" in comparison.caption(rate_run)


def test_comparison_of_runs_that_share_no_seed(rate_run, spiking_run):
    left, right = comparison.figure(rate_run, spiking_run).axes
    assert len(left.get_yticklabels()) == 5
    assert left.get_yticklabels()[3].get_text().endswith(": local")
    assert [text.get_text() for text in right.texts] == ["no seed in common"] * 2
    assert "1 to 3 seeds" in comparison.caption(rate_run, spiking_run)


# --- spikes -----------------------------------------------------------------------------------------------------------


def test_raster_shows_the_spikes_of_one_trial(spiking_run):
    drawn = raster.figure(spiking_run)
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["Hidden layer 1", "Hidden layer 2"]
    kept = spiking_run.jobs[0].spikes
    counts = []
    for layer, (upper, lower) in enumerate(zip(drawn.axes[:2], drawn.axes[2:], strict=True), 1):
        assert lower.get_xlabel() == "Time (ms)"
        assert upper.get_xlim() == (0, 300)
        shown = [np.array(found.get_xdata()) for found in upper.lines[:2]]
        number = sum(np.isfinite(x).sum() // 2 for x in shown)
        counts.append(
            {trial: ((kept["trial"] == trial) & (kept["population"] == layer)).sum() for trial in kept["trial"][[0, -1]]}
        )
        assert number in counts[-1].values()
        (trial,) = [t for t, n in counts[0].items() if n == np.isfinite(drawn.axes[0].lines[0].get_xdata()).sum() // 2 +
                    np.isfinite(drawn.axes[0].lines[1].get_xdata()).sum() // 2]  # fmt: skip
        own = (kept["trial"] == trial) & (kept["population"] == layer)
        np.testing.assert_allclose(np.sort(shown[1][::3]), np.sort(kept["time"][own & kept["twin"]]))
        soma = lower.patches[0].get_data()
        size = (12, 8)[layer - 1]
        assert np.nansum(soma.values * np.diff(soma.edges)) / 1e3 * size == pytest.approx((own & ~kept["twin"]).sum())
        assert [text.get_text() for text in upper.texts] == ["free", "+β", "free", "−β"]
        assert np.nanmin(shown[1]) >= 100


def test_raster_shows_the_trial_in_which_the_feedback_moves_most(spiking_run, tmp_path):
    quiet, moved = 4, 9
    time = np.array([10.0, 110.0, 110.0, 10.0, 110.0, 120.0])
    run = record.create(tmp_path / "run", spiking_run.experiment)
    run.jobs[0].write("spikes", 
        {
            "time": time, "population": np.ones(6, np.int32), "neuron": np.zeros(6, np.int32),
            "twin": np.array([False, False, True, False, True, True]), "trial": np.array([quiet] * 3 + [moved] * 3),
            "trials": np.array([quiet, moved]), "edges": np.array([0.0, 100, 150, 250, 300]), "sign": np.array([0.0, 1, 0, -1]),
        }
    )  # fmt: skip
    twins = raster.figure(run).axes[0].lines[1].get_xdata()
    assert [x for x in twins if not math.isnan(x)] == [110, 110, 120, 120]


def test_trial_shows_the_neuron_that_the_feedback_moves_most(spiking_run):
    drawn = trial.figure(spiking_run)
    top, *panels = drawn.axes
    v, current, _, change = (axes.lines[0].get_ydata() for axes in panels)
    kept, time = spiking_run.jobs[0].states, panels[0].lines[0].get_xdata()
    np.testing.assert_array_equal(time, kept["time"])
    assert v.max() <= 1
    assert not current[(time < 100) | ((time >= 150) & (time < 250))].any()
    assert current[(time >= 100) & (time < 150)] == pytest.approx(-current[time >= 250].mean())
    # By the definition: what z has moved by, from 100 to 150 and, with the other sign, from 250 ms to the end.
    z_of = kept["z1"] * LIF().gain / 10.0
    at = [int(np.flatnonzero(time == t)[0]) for t in (100, 150, 250)]
    learned = (z_of[:, at[1]] - z_of[:, at[0]] - z_of[:, -1] + z_of[:, at[2]]) / (2 * 2.0)
    assert change[-1] == pytest.approx(learned.ravel()[np.abs(learned).argmax()])
    assert not change[time <= 100].any()
    # Above: the spikes of the layer, of somata until the first nudge and of twins from then on; the neuron's own apart.
    row, column = np.unravel_index(np.abs(learned).argmax(), learned.shape)
    spikes, number = spiking_run.jobs[0].spikes, kept["neuron1"][column]
    own = (spikes["trial"] == kept["trial"][row]) & (spikes["population"] == 1) & (spikes["twin"] == (spikes["time"] >= 100))
    for points, chosen in zip(top.lines, (spikes["neuron"] != number, spikes["neuron"] == number), strict=True):
        np.testing.assert_array_equal(np.sort(points.get_xdata()), np.sort(spikes["time"][own & chosen]))
    assert [text.get_text() for text in top.texts] == ["free", "+β", "free", "−β"]


def test_window_is_the_closed_form_of_the_traces(rng):
    """All pairs together, with nothing left at the end: ∫ x dz of the traces themselves; and both areas are equal."""
    tau_x, tau_z = 7.0, 13.0
    pre, post = (np.sort(rng.uniform(0, 200, n)) for n in (9, 11))
    x_at_post = np.exp(-(post[:, None] - pre) / tau_x, where=post[:, None] > pre, out=np.zeros((11, 9))).sum(axis=1)
    t = np.linspace(-1, 600, 1_200_001)
    x, z = (np.where(t[:, None] > s, np.exp(-np.maximum(t[:, None] - s, 0) / tau), 0).sum(axis=1) for s, tau in
            ((pre, tau_x), (post, tau_z)))  # fmt: skip
    integral = x_at_post.sum() - trapezoid(x * z, t) / tau_z
    assert window.pair(post[:, None] - pre, tau_x, tau_z).sum() == pytest.approx(integral, abs=1e-3)
    lag = np.linspace(-300, 300, 600_001)
    assert trapezoid(window.pair(lag, tau_x, tau_z), lag) == pytest.approx(0, abs=2e-3)


def test_window_shows_the_pairs_of_the_two_layers(spiking_run):
    left, right = window.figure(spiking_run).axes
    before, after = (found.get_data() for found in left.lines[:2])
    assert after[1][0] == pytest.approx(0.5)
    assert before[1][0] == pytest.approx(-0.5)
    at = np.interp(10.0, *after)
    assert at == pytest.approx(0.5 / math.e, rel=1e-3)
    assert left.get_xlim() == (-30, 30)
    kept = spiking_run.jobs[0].spikes
    trials = np.unique(kept["trial"])
    lag, change = line(left, "pairs that occur")
    assert len(lag) > 5
    # Both time constants are 10 ms.
    assert change == pytest.approx(np.where(lag > 0, 0.5, -0.5) * np.exp(-np.abs(lag) / 10), abs=2e-3)
    one = {population: kept["time"][(kept["trial"] == trials[0]) & (kept["population"] == population)] for population in (1, 2)}
    assert all(np.abs(one[2][:, None] - (one[1] + 1) - each).min() < 1e-9 for each in lag)  # it arrives 1 ms later
    for drawn, (begin, end) in zip(right.patches, ((100, 150), (250, 300)), strict=True):
        shown = drawn.get_data()
        bins, found = shown.edges, np.zeros(len(shown.values))
        for trial_ in trials:

            def of(population, twin, trial_=trial_):
                own = (kept["trial"] == trial_) & (kept["population"] == population)
                late = kept["time"] >= 100
                return kept["time"][own & (kept["twin"] == (late & twin))]

            pre, post = of(1, False) + 1, of(2, True)
            post, pre = post[:, None], pre[None]
            later = np.maximum(post, pre)
            # A spike that an arrival makes has a lag of 0 to it, and reads x before it.
            reached = np.array([(pre + edge >= post) & (later >= begin) & (later < end) for edge in bins])
            found += np.diff(reached.sum(axis=(1, 2)))
        assert shown.values * 2 * 12 * 8 * np.diff(bins) == pytest.approx(found)
        assert found.sum() > 0


@pytest.mark.parametrize("delay", [None, 4.0])
def test_window_counts_lags_from_the_arrival(spiking_run, tmp_path, delay):
    """By the delay of the projection: what is sent before, and arrives after, depresses; and the arrival falls in the gate."""
    own = {"projection": [{"pre": 1, "post": 2, "delay": delay}]} if delay else {"delay": 2.0}
    tables = {"network": {"hidden": [12, 8], "neuron": "lif", **own}, "phases": {"propagation": "two_compartment"}}
    made = record.create(tmp_path / "run", spec.experiment({**tables, "record": {"spikes": 1}}))
    kept, by = spiking_run.jobs[0].spikes, delay or 2.0
    sent, spiked = [99.0, 120.0], [120 + by / 2, 120 + by, 121 + by]
    made.jobs[0].write("spikes", {
        **kept, "trials": np.array([0]), "trial": np.zeros(5, int), "time": np.array([*sent, *spiked]),
        "population": np.array([1, 1, 2, 2, 2]), "neuron": np.arange(5), "twin": np.array([False, False, True, True, True]),
    })  # fmt: skip
    job, setting = made.jobs[0], made.settings["local"]
    assert window.occurring(job, setting, 2.5) == pytest.approx([-by / 2, 0, 1])
    per = 12 * 8
    counts = window.density(job, setting, 1, np.array([-30.0, -1e-9, 0.0, 1.5, 30.0])) * per * np.array([30, 1e-9, 1.5, 28.5])
    # Of the spike at 120 ms: one before its arrival, one with it, one later; of that at 99 ms, which arrives in the gate: all.
    assert counts == pytest.approx([1, 1, 1, 3])


def test_window_counts_the_trials_in_which_nothing_spikes(spiking_run, tmp_path):
    (job, _), setting, bins = spiking_run.jobs, spiking_run.settings["local"], np.linspace(-30, 30, 13)
    again, kept = record.create(tmp_path / "run", spiking_run.experiment), job.spikes
    again.jobs[0].write("spikes", {**kept, "trials": np.append(kept["trials"], [900, 901])})
    found, expected = (window.density(each, setting, 1, bins) for each in (again.jobs[0], job))
    assert expected.sum() > 0
    np.testing.assert_allclose(found, expected / 2)


def test_window_of_one_hidden_layer_is_the_prediction_alone(map_run):
    (axes,) = window.figure(map_run).axes
    highest, lowest = axes.lines[1].get_ydata().max(), axes.lines[0].get_ydata().min()
    assert (highest, lowest) == pytest.approx((5 / 15, -10 / 15))
    assert not axes.patches
    assert "one hidden layer" in window.caption(map_run)
    assert "τ_x = 10 and τ_z = 5 ms" in window.caption(map_run)


# --- nudging ----------------------------------------------------------------------------------------------------------


def test_map_has_a_cell_for_each_strength_and_window(map_run):
    drawn = nudging_map.figure(map_run)
    for axes, key in zip(drawn.axes[:2], ("cosine_to_dfa", "relative_error_to_dfa"), strict=True):
        assert [text.get_text() for text in axes.get_yticklabels()] == ["0.5", "2"]
        assert [text.get_text() for text in axes.get_xticklabels()] == ["20", "40"]
        shown = axes.images[0].get_array()
        printed = [text.get_text() for text in axes.texts]
        for (row, column), name in {(0, 0): "0.5-20", (0, 1): "0.5-40", (1, 0): "2-20", (1, 1): "2-40"}.items():
            expected = fmean(job.metrics[0][key][0] for job in jobs(map_run, name))
            assert shown[row, column] == pytest.approx(expected)
            assert float(printed[2 * row + column]) == pytest.approx(expected, abs=6e-3)
        assert axes.images[0].origin == "lower"
    assert "Means over 2 seeds" in nudging_map.caption(map_run)


def test_map_says_what_it_lacks(rate_run, map_run, tmp_path):
    with pytest.raises(RunError, match=r"differ in nothing but phases\.beta .*; there are no such; localdfa run digits-map"):
        nudging_map.figure(with_conditions(rate_run, tmp_path / "one", ["a"]))
    with pytest.raises(RunError, match=r"phases\.beta and .*; a and b do not differ in it"):
        nudging_map.figure(with_conditions(rate_run, tmp_path / "two", ["a", "b"]))
    bare = record.create(tmp_path / "bare", map_run.experiment)
    with pytest.raises(RunError, match="nothing is measured yet"):
        nudging_map.figure(bare)


def test_beta_shows_the_orders_of_the_error_and_its_rounding(beta_run):
    (axes,) = beta.figure(beta_run).axes
    (figure_legend,) = axes.get_figure().legends
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    texts = [text.get_text() for text in figure_legend.get_texts()]
    assert texts == ["layer 1, slopes 1.00 and 2.00", "layer 2, slopes 1.00 and 2.00", "one-sided", "centered", "ε/β"]
    marked = [found for found in axes.lines if found.get_marker() in "os"]
    assert len(marked) == 8  # two layers and two nudgings, each with the points that its slope is fitted to
    for number, (curve, fitted) in enumerate(zip(marked[::2], marked[1::2], strict=True)):
        layer, nudging = number // 2, ("one_sided", "centered")[number % 2]
        x, y = (np.array(values) for values in curve.get_data())
        assert list(x) == [1e-8] * (nudging == "one_sided") + [1e-3, 0.01, 0.1, 1]
        for at, value in zip(x, y, strict=True):
            errors = [job.metrics[0]["relative_error_to_dfa"][layer] for job in jobs(beta_run, f"{nudging}-{at:g}")]
            assert value == pytest.approx(fmean(errors))
        assert set(fitted.get_xdata()) <= {1e-3, 0.01, 0.1}
        assert y[-3] / y[-4] == pytest.approx({"one_sided": 10, "centered": 100}[nudging], rel=0.02)
    assert y[-1] > y[0]
    (floor,) = [found for found in axes.lines if found.get_label() == "ε/β"]
    assert np.array(floor.get_xdata()) * floor.get_ydata() == pytest.approx(np.full(5, 2.0**-52), rel=1e-12)
    rounded = marked[0].get_ydata()[0]  # at β = 1e-8, of the order of rounding and not of β
    assert 1e-10 < rounded < 1e-7
    assert "Means over 2 seeds" in beta.caption(beta_run)


def test_beta_says_what_it_lacks(rate_run, map_run, beta_run, tmp_path):
    with pytest.raises(RunError, match=r"differ in nothing but phases\.beta .*; there are no such; localdfa run digits-beta"):
        beta.figure(with_conditions(rate_run, tmp_path / "one", ["a"]))
    with pytest.raises(RunError, match=r"the figure beta joins .*; there are 2 groups of such"):
        beta.figure(map_run)
    with pytest.raises(RunError, match="nothing is measured yet"):
        beta.figure(record.create(tmp_path / "bare", beta_run.experiment))


# --- files ------------------------------------------------------------------------------------------------------------


def test_plot_writes_figures_and_says_what_is_lacking(rate_run, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "names", lambda: ["errors", "raster", "comparison"])
    said = list(report.plot([rate_run], form="pdf", out=tmp_path))
    assert said[0] == str(tmp_path / "errors.pdf")
    assert "keeps no spikes" in said[2]
    assert (tmp_path / "errors.pdf").read_bytes().startswith(b"%PDF")
    assert b"/Type3" not in (tmp_path / "errors.pdf").read_bytes()
    with pytest.raises(RunError, match="keeps no spikes"):
        list(report.plot([rate_run], ["raster"], out=tmp_path))


def test_plot_of_several_runs(rate_run, spiking_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = list(report.plot([rate_run, spiking_run], ["errors", "comparison"], "svg"))
    folders = [run.folder / "figures" / "errors.svg" for run in (rate_run, spiking_run)]
    assert said == [*map(str, folders), "comparison.svg"]
    assert all(path.is_file() for path in folders)
    named = list(report.plot([rate_run, spiking_run], ["errors"], "png", out=tmp_path / "all"))
    assert len(set(named)) == 2
    assert all((tmp_path / "all").glob("*-errors.png"))


@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_figure_is_saved_as_if_matplotlib_had_drawn_it_twice(rate_run, monkeypatch, form):
    """Before it saves, Matplotlib draws all of a figure into nothing, of which it needs the layout alone."""

    def draw(figure, renderer):
        with figure._settings():
            MatplotlibFigure.draw(figure, renderer)

    found = analysis.get("confusion").figure(rate_run).content(form)
    monkeypatch.setattr(style.Figure, "draw", draw)
    assert analysis.get("confusion").figure(rate_run).content(form) == found


def test_blas_has_one_thread_while_figures_are_drawn(rate_run, monkeypatch):
    threads = []

    def figure(run):
        threads.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
        raise RunError("seen")

    monkeypatch.setattr(analysis.get("singular"), "figure", figure)
    with threadpoolctl.threadpool_limits(2, "blas"):
        assert list(report.plot([rate_run], form="svg", out=rate_run.folder / "elsewhere"))
    assert threads
    assert set(threads) == {1}


def test_fields_of_a_convolution_are_its_kernels(tmp_path):
    hidden = [{"channels": 4, "kernel": 3}, 6]
    run = train.run(
        spec.experiment({"data": "digits", "network": {"hidden": hidden}, "stage": [{"epochs": 1}], "batch_size": 256}),
        tmp_path / "run", progress=False,
    )  # fmt: skip
    drawn = fields.figure(run)
    (image,) = (image for axes in drawn.axes for image in axes.get_images())
    assert np.asarray(image.get_array()).size >= 4 * 3 * 3
