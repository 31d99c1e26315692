"""What modules of PyTorch learn from fields, views and text: mini-batches, losses and measures against slow versions."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from localdfa.data.kinds import Fields, Graph, Links, Text, Views  # noqa: E402
from localdfa.data.sets import spheres  # noqa: E402
from localdfa.errors import DataError, SpecError  # noqa: E402
from localdfa.torch import tasks  # noqa: E402


def rng(seed=0):
    return np.random.default_rng(seed)


class Given(nn.Module):
    """A module whose output is a function of its inputs."""

    def __init__(self, f, context=None):
        super().__init__()
        self.f, self.context = f, context

    def forward(self, *inputs):
        return self.f(*inputs)


def task_of(data, model, batch_size=8):
    return tasks.of(data)(data, model, batch_size, torch.float64, "cpu")


def measured(task, model, part, most=None, seed=0):
    with torch.no_grad():
        return task.evaluate(model, most, rng(seed))[part]


# --- graphs -----------------------------------------------------------------------------------------------------------


def graph(n=12):
    draw = rng(5)
    ends = np.array([(i, j) for i in range(n) for j in range(i) if draw.random() < 0.3]).T
    return Graph(
        draw.random((n, 4)).astype(np.float32), np.concatenate([ends, ends[::-1]], axis=1), draw.integers(0, 3, n),
        np.array([0, 3, 7]), np.array([1, 2]), np.array([4, 5, 6, 8]), classes=("a", "b", "c"),
    )  # fmt: skip


def test_a_graph_is_seen_as_a_whole_and_learned_from_by_nodes_that_show_their_labels():
    data, weights = graph(), torch.from_numpy(rng(1).standard_normal((4, 3)))
    model = Given(lambda x: x @ weights)
    task = task_of(data, model)
    logit = data.features.astype(np.float64) @ weights.numpy()
    p = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    assert task.n_train == 3
    (batch,) = task.epoch(rng())
    assert batch.samples == 3
    for part, nodes in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        expected = -np.log(p[nodes, data.labels[nodes]]).mean()
        found = measured(task, model, part)
        assert found["loss"] == pytest.approx(expected)
        assert found["error"] == pytest.approx(100 * np.mean(p[nodes].argmax(axis=1) != data.labels[nodes]))
        if part == "train":
            assert task.loss(model(*batch.inputs), batch.target).item() == pytest.approx(expected)
    np.testing.assert_array_equal(task.outcome(model)["prediction"], p[data.test].argmax(axis=1))
    np.testing.assert_array_equal(task.targets(None, rng()), np.eye(3)[data.labels[data.train]])
    shown = task.shown(5, rng(2))
    np.testing.assert_array_equal(shown.x, data.features[shown.rows])
    np.testing.assert_array_equal(shown.label, data.labels[shown.rows])


def test_all_nodes_of_a_graph_are_measured_in_one_forward_pass():
    seen = []
    model = Given(lambda x: seen.append(len(x)) or torch.ones(len(x), 3))
    with torch.no_grad():
        found = task_of(graph(), model).evaluate(model, None, rng())
    assert seen == [12]
    assert [*found] == ["train", "valid", "test"]


@pytest.mark.parametrize("width", [2, 4])
def test_a_module_of_a_graph_gives_a_number_for_each_class(width):
    data = graph()
    model = Given(lambda x: torch.ones(len(x), width))
    task = task_of(data, model)
    (batch,) = task.epoch(rng())
    with pytest.raises(SpecError, match=rf"gives \(12, {width}\); allowed .* \(12, 3\)"):
        task.loss(model(*batch.inputs), batch.target)
    with pytest.raises(SpecError, match="allowed"):
        measured(task, model, "test")


# --- links ------------------------------------------------------------------------------------------------------------


def links(n=12):
    edges = graph(n).edges
    ends = edges[:, edges[0] > edges[1]]
    joined = {tuple(pair) for pair in edges.T.tolist()}
    apart = np.array([(i, j) for i in range(n) for j in range(i) if (i, j) not in joined][:5]).T
    return Links(
        graph(n).features, np.concatenate([ends[:, 3:], ends[::-1, 3:]], axis=1), graph(n).labels,
        np.stack([ends[:, 0], apart[:, 0]], axis=1), np.float32([1, 0]),
        np.concatenate([ends[:, 1:3], apart[:, 1:]], axis=1), np.float32([1, 1, 0, 0, 0, 0]), classes=("a", "b", "c"),
    )  # fmt: skip


LINKS = links()
PRODUCT = Given(lambda x, pairs: (x[pairs[0]] * x[pairs[1]]).sum(1) - 1.2)


def test_the_measures_of_pairs_are_those_of_their_definitions():
    found = measured(task_of(LINKS, PRODUCT), PRODUCT, "test")
    x, y = LINKS.features.astype(float), LINKS.joined_test
    z = (x[LINKS.pairs_test[0]] * x[LINKS.pairs_test[1]]).sum(1) - 1.2
    p = 1 / (1 + np.exp(-z))
    assert found["log_loss"] == found["loss"] == pytest.approx(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))))
    assert found["auc"] == pytest.approx(np.mean([a > b for a in z[y == 1] for b in z[y == 0]]))
    order = y[np.argsort(-z)]  # average precision: of each edge, the part of edges among those ranked no lower
    assert found["ap"] == pytest.approx(np.mean([order[: k + 1].mean() for k in np.flatnonzero(order)]))
    outcome = task_of(LINKS, PRODUCT).outcome(PRODUCT)
    np.testing.assert_allclose(outcome["probability"], p)
    none = dataclasses.replace(LINKS, pairs_valid=LINKS.pairs_valid[:, :0], joined_valid=LINKS.joined_valid[:0])
    assert measured(task_of(none, PRODUCT), PRODUCT, "valid") == {}
    alike = dataclasses.replace(LINKS, pairs_valid=LINKS.pairs_valid[:, :1], joined_valid=LINKS.joined_valid[:1])
    found = measured(task_of(alike, PRODUCT), PRODUCT, "valid")
    assert found["auc"] is found["ap"] is None


def test_a_step_has_the_edges_that_are_learned_from_and_as_many_pairs_that_none_of_them_joins():
    task = task_of(LINKS, PRODUCT)
    known = {tuple(pair) for pair in LINKS.edges.T.tolist()}
    others = []
    for seed in range(2):
        (batch,) = task.epoch(rng(seed))
        pairs, y = batch.inputs[1].T.tolist(), batch.target.numpy()
        assert batch.samples == task.n_train == len(pairs) == len(known)
        assert [tuple(pair) in known for pair in pairs] == (y == 1).tolist()
        assert len({frozenset(pair) for pair in pairs}) == len(pairs)
        np.testing.assert_array_equal(task.targets(None, rng(seed)), y)
        others.append([pair for pair, yes in zip(pairs, y, strict=True) if not yes])
        expected = -np.mean(np.where(y == 1, -0.5, np.log(1 - np.exp(-0.5))))
        log_p = Given(lambda x, pairs: torch.full((pairs.shape[1],), -math.log(math.e**0.5 - 1), dtype=torch.float64))
        assert task.loss(log_p(*batch.inputs), batch.target).item() == pytest.approx(expected)
    assert others[0] != others[1]


def test_what_is_held_out_is_measured_in_one_forward_pass_with_all_else():
    seen = []
    model = Given(lambda x, pairs: seen.append(pairs.shape[1]) or torch.zeros(pairs.shape[1]))
    found = task_of(LINKS, model).evaluate(model, None, rng())
    assert seen == [LINKS.edges.shape[1] + 2 + 6]
    assert all(part["log_loss"] == pytest.approx(math.log(2)) for part in found.values())
    shown = task_of(LINKS, model).shown(5, rng(2))
    np.testing.assert_array_equal(shown.x, LINKS.features[shown.rows])
    np.testing.assert_array_equal(shown.label, LINKS.labels[shown.rows])


# --- fields -----------------------------------------------------------------------------------------------------------


def fields(n=50):
    draw = rng(3)
    parts = []
    for size in (n, 4, 20):
        parts += [draw.integers(0, (3, 5), (size, 2)), (draw.random(size) < 0.4).astype(np.float32)]
    parts[3][:] = 1  # of validation
    return Fields(*parts, sizes=(3, 5), names=("a", "b"))


FIELDS = fields()
LOGIT = Given(lambda x: 0.7 * x[:, 0].double() - 0.4 * x[:, 1].double() + 0.2)


def test_log_loss_and_auc_are_those_of_their_definitions():
    found = measured(task_of(FIELDS, LOGIT), LOGIT, "test")
    z, y = (0.7 * FIELDS.x_test[:, 0] - 0.4 * FIELDS.x_test[:, 1] + 0.2), FIELDS.y_test
    p = 1 / (1 + np.exp(-z))
    assert found["log_loss"] == found["loss"] == pytest.approx(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))))
    pairs = [(a > b) + 0.5 * (a == b) for a in z[y == 1] for b in z[y == 0]]
    assert found["auc"] == pytest.approx(np.mean(pairs))
    assert measured(task_of(FIELDS, LOGIT), LOGIT, "valid")["auc"] is None  # all are yes
    none = dataclasses.replace(FIELDS, x_valid=FIELDS.x_valid[:0], y_valid=FIELDS.y_valid[:0])
    assert measured(task_of(none, LOGIT), LOGIT, "valid") == {}


def test_an_epoch_of_fields_has_each_row_once():
    task = task_of(FIELDS, LOGIT)
    batches = list(task.epoch(rng()))
    assert [batch.samples for batch in batches] == [8] * 6 + [2]
    assert task.n_train == 50
    rows = torch.cat([torch.column_stack([batch.inputs[0], batch.target]) for batch in batches]).long().tolist()
    assert sorted(rows) == sorted(np.column_stack([FIELDS.x_train, FIELDS.y_train]).astype(int).tolist())
    assert rows != torch.cat([torch.column_stack([b.inputs[0], b.target]) for b in task.epoch(rng(1))]).long().tolist()
    assert len(task.probe(7, rng()).target) == 7
    assert len(task.probe(100, rng()).target) == 50


def test_some_rows_of_fields_are_measured_and_their_targets_are_known():
    task = task_of(FIELDS, LOGIT)
    y = task.targets(11, rng(5))
    assert len(y) == 11
    # A module that says no with p = 1/4: its loss tells how many of these rows are yes.
    quarter = Given(lambda x: torch.full((len(x),), -math.log(3), dtype=torch.float64))
    loss = measured(task, quarter, "train", 11, seed=5)["loss"]
    assert loss == pytest.approx(-(y.mean() * math.log(1 / 4) + (1 - y.mean()) * math.log(3 / 4)))


def test_the_outcome_of_fields_is_what_was_decided():
    with torch.no_grad():
        found = task_of(FIELDS, LOGIT).outcome(LOGIT)
    np.testing.assert_array_equal(found["label"], FIELDS.y_test)
    np.testing.assert_array_equal(found["prediction"], found["probability"] > 0.5)
    assert 0 < found["prediction"].mean() < 1


# --- views ------------------------------------------------------------------------------------------------------------


def turned(angle, tilt):
    """A camera away from the origin, turned about two axes."""
    c, s, k, t = math.cos(angle), math.sin(angle), math.cos(tilt), math.sin(tilt)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, k, -t], [0, t, k]])
    pose[:3, 3] = [0.5, -angle, 2]
    return pose


def views(n=5, height=12, width=13):
    images = rng(4).random((n, height, width, 3), np.float32)
    poses = np.stack([turned(0.3 * k, 0.5 - 0.2 * k) for k in range(n)]).astype(np.float32)
    return Views(images, poses, 9.0, 2.0, 6.0, np.array([0, 2, 4]), np.array([], np.int64), np.array([1, 3]))


VIEWS = views()
GREY = Given(lambda origins, directions: torch.full_like(origins, 0.5))


def test_rays_pass_through_the_middle_of_their_pixels():
    task = task_of(VIEWS, GREY)
    batches = list(task.epoch(rng()))
    assert sum(batch.samples for batch in batches) == task.n_train == 3 * 12 * 13
    seen = set()
    for batch in batches:
        for origin, direction, colour in zip(*(part.numpy() for part in (*batch.inputs, batch.target)), strict=True):
            assert np.linalg.norm(direction) == pytest.approx(1)
            (view,) = (k for k in VIEWS.train if np.allclose(VIEWS.poses[k, :3, 3], origin))
            # A point on the ray, as a pinhole camera sees it.
            x, y, z = VIEWS.poses[view, :3, :3].astype(float).T @ (3 * direction)
            column, row = 9 * x / -z + 13 / 2 - 0.5, 12 / 2 - 9 * y / -z - 0.5
            at = (round(row), round(column))
            assert (row, column) == pytest.approx(at, abs=1e-4)
            np.testing.assert_allclose(VIEWS.images[(view, *at)], colour, rtol=1e-6)
            seen.add((view, *at))
    assert len(seen) == task.n_train


def test_rays_meet_what_is_seen_where_they_point():
    scene = spheres.load()

    def hit(origins, directions):
        """White but where a ray comes within the radius of a sphere."""
        colours = torch.ones_like(origins)
        for centre, radius, colour in spheres._SPHERES:
            towards = torch.tensor(centre, dtype=torch.float64) - origins
            along = (towards * directions).sum(1, keepdim=True)
            near = (towards - along * directions).norm(dim=1) < radius
            colours[near] = torch.tensor(colour, dtype=torch.float64)
        return colours

    model = Given(hit)
    with torch.no_grad():
        found = task_of(scene, model).outcome(model)
    white, thought = found["true"].min(axis=-1) > 0.95, found["image"].min(axis=-1) > 0.95
    assert np.mean(white == thought) > 0.97
    assert np.mean(white[:, :, ::-1] == thought) < 0.9
    assert np.mean(white[:, ::-1] == thought) < 0.9


def slow_ssim(x, y):
    """Wang et al. (2004), eq. 13: windows of 11 x 11 wholly within images of one channel, K1 = 0.01, K2 = 0.03, range 1."""
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for i in range(5, x.shape[0] - 5):
        for j in range(5, x.shape[1] - 5):
            a, b = (image[i - 5 : i + 6, j - 5 : j + 6] for image in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            found.append(
                (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4) / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
            )
    return np.mean(found)


def test_measures_of_views_are_those_of_their_definitions():
    blurred = Given(lambda origins, directions: 0.5 + 0.3 * directions.sin())
    task = task_of(VIEWS, blurred)
    found = measured(task, blurred, "test")
    with torch.no_grad():
        image = task.outcome(blurred)["image"].astype(float)
    true = VIEWS.images[VIEWS.test].astype(float)
    each = [np.mean((a - b) ** 2) for a, b in zip(image, true, strict=True)]
    assert found["rmse"] == pytest.approx(math.sqrt(np.mean((image - true) ** 2)), rel=1e-6)
    assert found["loss"] == pytest.approx(np.mean(each), rel=1e-6)
    assert found["psnr"] == pytest.approx(np.mean([-10 * math.log10(e) for e in each]), rel=1e-6)
    slow = np.mean([slow_ssim(a[..., c], b[..., c]) for a, b in zip(image, true, strict=True) for c in range(3)])
    assert found["ssim"] == pytest.approx(slow, rel=1e-5)
    assert abs(found["ssim"]) > 1e-3
    assert measured(task, blurred, "valid") == {}


def test_views_that_are_rendered_as_they_are_are_the_same():
    same = dataclasses.replace(VIEWS, images=np.full_like(VIEWS.images, 0.5))
    found = measured(task_of(same, GREY), GREY, "test")
    assert (found["rmse"], found["ssim"], found["loss"]) == (0, 1, 0)
    assert found["psnr"] == pytest.approx(150)


def test_as_many_training_views_are_measured_as_have_the_rays_that_are_asked_for():
    seen = []
    model = Given(lambda origins, directions: seen.append(len(origins)) or torch.zeros_like(origins))
    task = task_of(VIEWS, model)
    for most, expected in ((1, 1), (2 * 156, 2), (3 * 156 - 1, 2), (None, 3), (10**6, 3)):
        seen.clear()
        loss = measured(task, model, "train", most)["loss"]
        assert sum(seen) == 156 * (expected + 2)  # those of the test as well
        assert task.targets(most, rng(0)).shape == (156 * expected, 3)
        assert loss == pytest.approx(np.mean(task.targets(most, rng(0)) ** 2))


def test_an_epoch_of_many_rays_has_some(monkeypatch):
    monkeypatch.setattr("localdfa.torch.tasks.views._EPOCH", 100)
    task = task_of(VIEWS, GREY, 64)
    first, second = ([batch.target.numpy() for batch in task.epoch(rng(k))] for k in range(2))
    assert [len(target) for target in first] == [64, 36]
    assert task.n_train == len(np.unique(np.concatenate(first), axis=0)) == 100
    assert not np.array_equal(first[0], second[0])


def test_views_that_are_smaller_than_the_window_of_ssim_are_refused():
    with pytest.raises(DataError, match="images of 10 x 13 pixels; allowed: 11 x 11"):
        task_of(views(height=10), GREY)


# --- text -------------------------------------------------------------------------------------------------------------

SYMBOLS = ("\n", "a", "b", "c")
TEXT = Text(rng(6).integers(0, 4, 103), np.array([], np.int64), rng(7).integers(0, 4, 27), SYMBOLS)
TABLE = torch.tensor(rng(8).normal(size=(4, 4)))
BIGRAM = Given(lambda symbols: TABLE[symbols], context=5)


def test_bits_are_those_of_the_probabilities_of_what_comes_next():
    found = measured(task_of(TEXT, BIGRAM), BIGRAM, "test")
    p = np.exp(TABLE.numpy())
    p /= p.sum(axis=1, keepdims=True)
    told = [math.log(p[TEXT.test[k], TEXT.test[k + 1]]) for k in range(25)]  # five windows; the 26th is in none
    assert found["loss"] == pytest.approx(-np.mean(told))
    assert found["bits"] == pytest.approx(-np.mean(told) / math.log(2))
    assert measured(task_of(TEXT, BIGRAM), BIGRAM, "valid") == {}


def test_mini_batches_of_a_text_are_windows_at_any_place_and_the_symbols_after_them():
    task = task_of(TEXT, BIGRAM, batch_size=6)
    windows, batches = {tuple(TEXT.train[k : k + 6]) for k in range(98)}, [list(task.epoch(rng(k))) for k in range(60)]
    assert task.n_train == 100
    assert [batch.samples for batch in batches[0]] == [30, 30, 30, 10]
    drawn = {
        (*seen, after[-1])
        for epoch in batches for batch in epoch
        for seen, after in zip(batch.inputs[0].tolist(), batch.target.tolist(), strict=True)
        if seen[1:] == after[:-1]
    }  # fmt: skip
    assert drawn == windows  # the first and the last are among them
    assert task.probe(12, rng()).inputs[0].shape == (2, 5)
    assert task.probe(2, rng()).inputs[0].shape == (1, 5)
    assert task.probe(10**6, rng()).inputs[0].shape == (20, 5)


def test_some_windows_of_a_text_are_measured_and_their_targets_are_known():
    task = task_of(TEXT, BIGRAM)
    expected = task.targets(15, rng(2))
    assert len(expected) == 15
    certain = Given(lambda symbols: torch.tensor([0.0, 1, 2, 3]).double().expand(*symbols.shape, 4), context=5)
    p = np.exp(np.arange(4)) / np.exp(np.arange(4)).sum()
    assert measured(task, certain, "train", 15, seed=2)["loss"] == pytest.approx(-np.log(p[expected]).mean())


def test_a_module_writes_what_it_predicts():
    onwards = Given(lambda symbols: 50 * nn.functional.one_hot((symbols + 1) % 4, 4).double(), context=5)
    found = task_of(TEXT, onwards).outcome(onwards)
    assert found["symbols"].tolist() == list(SYMBOLS)
    np.testing.assert_array_equal(found["prompt"], TEXT.test[:5])
    np.testing.assert_array_equal(found["sample"], (TEXT.test[4] + 1 + np.arange(600)) % 4)
    # Drawn with these probabilities, by numbers of its own.
    state = torch.get_rng_state()
    table = Given(lambda symbols: torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])).expand(*symbols.shape, 4), context=5)
    sample = task_of(TEXT, table).outcome(table)["sample"]
    np.testing.assert_allclose(np.bincount(sample) / 600, [0.1, 0.2, 0.3, 0.4], atol=0.06)
    np.testing.assert_array_equal(task_of(TEXT, table).outcome(table)["sample"], sample)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("context", [None, 0, 2.5])
def test_a_module_of_text_says_how_much_it_sees(context):
    with pytest.raises(SpecError, match=r"its attribute `context` is .*; allowed: how many symbols it sees"):
        task_of(TEXT, Given(None, context))


def test_a_text_is_longer_than_what_is_seen_of_it():
    with pytest.raises(DataError, match="test: a text of 27 symbols, of which the module sees 27 at once"):
        task_of(TEXT, Given(None, 27))


# --- all --------------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """Data, and a module for them."""

    data: object
    model: nn.Module


CASES = {"links": Case(LINKS, PRODUCT), "fields": Case(FIELDS, LOGIT), "views": Case(VIEWS, GREY), "text": Case(TEXT, BIGRAM)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_measured_is_what_its_kind_says_and_finite(case):
    task = task_of(*case)
    found = measured(task, case.model, "test")
    assert set(found) == {measure.key for measure in case.data.output.measures} | {"loss"}
    assert all(math.isfinite(value) for value in found.values())
    batch = task.probe(10, rng())
    assert task.loss(case.model(*batch.inputs), batch.target).shape == ()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_module_that_gives_another_shape_is_refused(case):
    wrong = Given(lambda *inputs: case.model(*inputs)[..., None], getattr(case.model, "context", None))
    task = task_of(case.data, wrong)
    batch = next(task.epoch(rng()))
    with pytest.raises(SpecError, match=r"the module gives \(.*\); allowed for these inputs: a tensor of shape \("):
        task.loss(wrong(*batch.inputs), batch.target)
    with pytest.raises(SpecError, match="the module gives"):
        measured(task, wrong, "test")
