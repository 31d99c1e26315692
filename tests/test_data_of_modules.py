"""Data sets that modules of PyTorch alone read: from small files made here, and from the real ones where they are."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, issparse
from test_data_hostile import BOMBS, CODE, EMPTY_ARRAY, FUZZ, Call, damage, little_memory, unless_refused  # noqa: F401

from localdfa import data
from localdfa.data import archives, cache, planetoid
from localdfa.data.sets import adult, movielens_small, nerf_lego, tiny_shakespeare
from localdfa.errors import DataError


@pytest.fixture(scope="module")
def real():
    """Read a data set that is on this machine, once; nothing is downloaded."""
    found = {}

    def read(name):
        if name not in found:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(cache, "_download", missing)
                try:
                    found[name] = data.read(name)
                except DataError as error:
                    pytest.skip(str(error))
        return found[name]

    return read


def missing(remote, path):
    raise DataError(f"{path}: not on this machine")


# --- Planetoid --------------------------------------------------------------------------------------------------------


def number(value):
    return b"J" + struct.pack("<i", value)


def text(value):
    return b"U" + bytes([len(value)]) + value


def dtype(code):
    return b"cnumpy\ndtype\n" + text(code) + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def array(values, code):
    content = values.astype("<" + code.decode()).tobytes()
    shape = b"(" + b"".join(map(number, values.shape)) + b"t"
    return EMPTY_ARRAY + b"(K\x01" + shape + dtype(code) + b"\x89" + b"T" + struct.pack("<i", len(content)) + content + b"tb"


def sparse(matrix):
    shape = b"(" + b"".join(map(number, matrix.shape)) + b"t"
    items = [
        (b"format", text(b"csr")), (b"_shape", shape), (b"indptr", array(matrix.indptr, b"i4")), (b"maxprint", b"K\x32"),
        (b"indices", array(matrix.indices, b"i4")), (b"sorted", b"\x88"), (b"data", array(matrix.data, b"f4")),
    ]  # fmt: skip
    return b"cscipy.sparse.csr\ncsr_matrix\nq\x01)\x81}(" + b"".join(text(key) + value for key, value in items) + b"ub"


def graph(neighbours):
    items = b"".join(number(node) + b"](" + b"".join(map(number, near)) + b"e" for node, near in neighbours.items())
    return b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(" + items + b"u"


def pickled(content):
    return b"\x80\x02" + content + b"."


def parse(blob):
    return planetoid.parse(blob, "some/file")


MATRIX = csr_matrix(np.array([[0, 2.5, 0], [1, 0, -3]], np.float32))
NEAR = {0: [1, 2], 1: [0], 2: [], 70_000: [0, 70_000]}


def test_a_matrix_and_a_graph_are_read():
    np.testing.assert_array_equal(parse(pickled(array(np.arange(6).reshape(3, 2), b"i4"))), np.arange(6).reshape(3, 2))
    found = parse(pickled(sparse(MATRIX)))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), MATRIX.toarray())
    assert parse(pickled(graph(NEAR))) == NEAR
    one = pickled(b"](K\x01K\x02e")
    with pytest.raises(DataError, match="the file does not end with one array or sparse matrix or dictionary"):
        parse(one)


REFUSED = {
    "shape": (array(np.arange(6), b"i4").replace(number(6), number(7)), r"an array of shape \(7,\) with 24 bytes"),
    "type": (array(np.arange(6), b"i4").replace(b"U\x02i4", b"U\x02O8"), "a call that does not occur"),
    "indices": (sparse(csr_matrix((3, 9), dtype=np.float32)).replace(number(9), number(0)), "not the state of a sparse matrix"),
    "columns": (sparse(MATRIX).replace(number(3), number(1), 1), "a sparse matrix that is none"),
    "neighbours": (graph({0: []}).replace(b"](e", b"K\x01"), "not a list of nodes for each node"),
    "used twice": (b"](K\x01eq\x05h\x05", "a value is used twice which is neither a name nor a type"),
    "object": (b"cnumpy\nndarray\n)\x81", "an object that does not occur"),
    "an array where the arguments of an object stand": (array(np.arange(6), b"i4") + b"\x81", "an object that does not occur"),
    "an array to be called": (array(np.arange(6), b"i4") + b")R", "a call that does not occur"),
    "an array among arguments": (b"cnumpy\ndtype\n" + array(np.arange(6), b"i4") + b"\x85R", "a call that does not occur"),
    "an array in a state": (EMPTY_ARRAY + b"(" + array(np.arange(6), b"i4") + b"tb", "not the state of an array"),
    "a matrix in a state": (EMPTY_ARRAY + sparse(MATRIX) + b"\x85b", "not the state of an array"),
    "an array in the state of a type": (dtype(b"i4") + array(np.arange(6), b"i4") + b"\x85b", "a state that does not occur"),
    "an array as a format": (sparse(MATRIX).replace(text(b"csr"), array(np.arange(3), b"i4")), "not the state of a sparse"),
    "a second state": (array(np.arange(6), b"i4") + b"]b", "a state that does not occur"),
    "no state": (EMPTY_ARRAY, "an array without values"),
    "another dictionary": (b"ccollections\ndefaultdict\ncnumpy\nndarray\n\x85R", "a call that does not occur"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_no_file_of_planetoid_holds_is_refused(content, message):
    with pytest.raises(DataError, match=f"^some/file: .*{message}"):
        parse(pickled(content))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("function", "argument"), [(os.system, "touch {}"), (eval, "open({!r}, 'w')"), (os.mkdir, "{}")])
def test_calls_in_a_file_are_not_made(tmp_path, function, argument, protocol):
    trace = tmp_path / "trace"
    with pytest.raises(DataError, match=r"^some/file: byte \d+: "):
        parse(pickle.dumps({0: Call(function, argument.format(str(trace)))}, protocol))
    assert not trace.exists()


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("code", [*CODE.values(), *(bomb[2:] for bomb in BOMBS.values())], ids=[*CODE, *BOMBS])
def test_code_and_bombs_in_a_file_do_nothing(code):
    found = unless_refused("some/file: ", parse, b"\x80\x02" + code)
    assert found is None or found == {}  # notes for later use, of nothing


@FUZZ
@given(st.data())
def test_damaged_files_are_refused_or_read(drawn):
    blob = drawn.draw(st.sampled_from([pickled(sparse(MATRIX)), pickled(graph(NEAR)), pickled(array(np.arange(6), b"f4"))]))
    found = unless_refused("some/file: ", parse, damage(blob, drawn.draw))
    assert found is None or isinstance(found, dict | np.ndarray) or issparse(found)


PIECES = [
    b"(", b")", b"}", b"]", b"N", b"R", b"b", b"a", b"u", b"t", b"e", b"\x81", b"\x85", b"\x86", b"\x87", b"\x88", b"\x89",
    b"K\x01", b"q\x01", b"h\x01", text(b"csr"), dtype(b"i4"), array(np.arange(1), b"i4"), array(np.arange(6), b"f4"),
    sparse(MATRIX), graph({0: [1]}), EMPTY_ARRAY, b"cnumpy\ndtype\n", b"cnumpy\nndarray\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cscipy.sparse.csr\ncsr_matrix\n", b"c__builtin__\nlist\n",
]  # fmt: skip


@FUZZ
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_order_of_what_files_consist_of_is_refused_or_read(pieces):
    unless_refused("some/file: ", parse, pickled(b"".join(pieces)))


def small_network(**changed):
    """Two classes; nodes 0 to 539 come first, of the five behind them the second is in no file but that of the graph."""
    rng = np.random.default_rng(5)
    published = planetoid.Published("small", ("",) * 6, ("a", "b"), nodes=545, features=3)
    allx = rng.integers(1, 4, (540, 3)).astype(np.float32)
    allx[7] = 0
    parts = {
        "allx": csr_matrix(allx), "ally": np.eye(2, dtype=np.int32)[np.arange(540) % 2],
        "tx": csr_matrix(np.array([[1, 3, 0], [0, 0, 2], [1, 1, 2], [4, 0, 0]], np.float32)),
        "ty": np.eye(2, dtype=np.int32)[[1, 0, 1, 1]], "test.index": [543, 540, 544, 542],
        "graph": {0: [1, 1, 0], 1: [], 544: [0, 542], 542: [544]},
    }  # fmt: skip
    return planetoid.assemble(published, parts | changed), allx


def test_a_network_is_put_together_as_kipf_and_welling_do():
    found, allx = small_network()
    sums = allx.sum(axis=1)
    for node in (0, 5, 539):
        np.testing.assert_allclose(found.features[node], allx[node] / sums[node])
    assert not found.features[[7, 541]].any()
    np.testing.assert_allclose(
        found.features[[543, 540, 544, 542]], [[1 / 4, 3 / 4, 0], [0, 0, 1], [1 / 4, 1 / 4, 1 / 2], [1, 0, 0]]
    )
    assert found.labels[540:].tolist() == [0, 0, 1, 1, 1]
    assert sorted(zip(*found.edges.tolist(), strict=True)) == [(0, 1), (0, 544), (1, 0), (542, 544), (544, 0), (544, 542)]
    assert (found.train.tolist(), found.valid.tolist()) == (list(range(40)), list(range(40, 540)))
    assert found.test.tolist() == [540, 542, 543, 544]
    assert found.notes == ("1 nodes have no features and no label, which is 0 here; they are in no part",)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test.index": [543, 540, 544, 544]}, "the test nodes are not some of 540 to 544, each once"),
        ({"test.index": [543, 540, 544, 12]}, "the test nodes are not some of 540 to 544, each once"),
        ({"test.index": [543, 540, 544]}, r"ty is no ndarray of shape \(3, 2\)"),
        ({"ally": csr_matrix((540, 2))}, r"ally is no ndarray of shape \(540, 2\)"),
        ({"tx": csr_matrix((4, 4))}, r"tx is no csr_matrix of shape \(4, 3\)"),
        ({"graph": {0: [545]}}, "graph has nodes outside of 0 to 544"),
    ],
)
def test_parts_of_a_network_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(DataError, match=f"^small: {message}"):
        small_network(**changed)


def test_test_nodes_are_one_a_line():
    assert planetoid._lines(b"12\n7\n", "file") == [12, 7]
    for wrong in (b"1 x", b"-1", b"9" * 5000):
        with pytest.raises(DataError, match="file: not a node in each line"):
            planetoid._lines(wrong, "file")


def test_the_files_of_cora_are_read_as_python_reads_them(real):
    real("cora")
    blobs = {part: (cache.folder() / f"planetoid/ind.cora.{part}").read_bytes() for part in ("graph", "ally", "tx")}
    found = {part: parse(blob) for part, blob in blobs.items()}
    assert found["graph"] == pickle.loads(blobs["graph"], encoding="latin1")
    assert (found["ally"].shape, set(found["ally"].sum(axis=1))) == ((1708, 7), {1})
    assert (found["tx"].shape, set(found["tx"].data)) == ((1000, 1433), {1})


# Papers by class and citations, as the literature has them.
NETWORKS = {
    "cora": ([351, 217, 418, 818, 426, 298, 180], 5278),
    "citeseer": ([249, 590, 668, 701, 596, 508], 4552),
    "pubmed": ([4103, 7739, 7875], 44324),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_planetoid(name, real):
    found = real(name)
    counts, citations = NETWORKS[name]
    unknown = (found.features.sum(axis=1) == 0).sum()
    assert np.bincount(found.labels).tolist() == [counts[0] + unknown, *counts[1:]]
    assert found.edges.shape[1] == 2 * citations
    assert np.bincount(found.labels[found.train]).tolist() == [20] * len(counts)
    assert (len(found.valid), len(found.test)) == (500, 1000)
    sums = found.features.sum(axis=1)
    np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-5)
    assert unknown == 15 * (name == "citeseer")


# --- Adult ------------------------------------------------------------------------------------------------------------


def person(k, work="Private", gain=0, earned=">50K"):
    return f"{20 + k}, {work}, {100 * k}, 11th, 7, Divorced, Sales, Wife, White, Female, {gain}, 0, 40, France, {earned}\n"


def test_people_of_adult():
    known = "".join(
        person(k, ["Private", "State-gov"][k % 2], 100 * k * (k % 4 == 0), [">50K", "<=50K"][k % 2]) for k in range(80)
    )
    tested = "|1x3 Cross validator\n" + person(500, earned=">50K.") + person(-1, gain=399, earned="<=50K.") + "\n"
    found = adult.assemble(adult.rows(known + "\n", "known"), adult.rows(tested, "tested"))
    assert [len(y) for y in (found.y_train, found.y_valid, found.y_test)] == [72, 8, 2]
    age, work, gain, loss = (found.names.index(name) for name in ("age", "workclass", "capital-gain", "capital-loss"))
    for x, y in ((found.x_train, found.y_train), (found.x_valid, found.y_valid)):
        np.testing.assert_array_equal(y, 1 - x[:, work])
    # Deciles of the 72 ages that differ: so many of each; the test's are in the last and the first.
    assert set(np.bincount(found.x_train[:, age])) == {7, 8}
    assert found.x_test[:, age].tolist() == [9, 0]
    # No gain is a category behind those between the deciles of the others.
    assert found.sizes[gain] == 11
    assert (np.bincount(found.x_train[:, gain])[:-1] <= 3).all()
    assert found.x_test[0, gain] == 10
    assert found.x_test[1, gain] == 0
    assert (found.sizes[loss], set(found.x_train[:, loss])) == (2, {1})
    assert found.y_test.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("known", "tested", "message"),
    [
        (person(1) + "1, 2\n", person(1), "^known: not in each row 14 fields and what is earned"),
        (person(1, earned="50K"), person(1), "^known: not in each row 14 fields and what is earned"),
        ("".join(map(person, range(20))), person(1, "Astronaut"), "^adult: workclass has Astronaut in the test set alone"),
        ("".join(map(person, range(20))), person(1, gain="?"), "^adult: capital-gain is not a number everywhere"),
    ],
)
def test_people_that_are_not_those_of_adult_are_refused(known, tested, message):
    with pytest.raises(DataError, match=message):
        adult.assemble(adult.rows(known, "known"), adult.rows(tested, "tested"))


def test_adult(real):
    found = real("adult")
    assert [len(y) for y in (found.y_train, found.y_valid, found.y_test)] == [29305, 3256, 16281]
    assert found.y_train.sum() + found.y_valid.sum() == 7841
    assert found.y_test.sum() == 3846
    assert found.sizes[found.names.index("education")] == 16


# --- MovieLens --------------------------------------------------------------------------------------------------------


def films_and_ratings(n=400):
    films = 'movieId,title,genres\n10,"Ship, The (1999)",Drama\n11,Boat (1999) ,Drama|War\n12,Raft,(no genres listed)\n'
    rng = np.random.default_rng(2)
    rated = [(rng.integers(1, 5), 12 if k in (3, 200) else 10 + k % 2, rng.integers(1, 11) / 2, k) for k in range(n)]
    lines = "".join(f"{7 * user},{film},{stars},{when}\n" for user, film, stars, when in rated)
    return rated, movielens_small.table("userId,movieId,rating,timestamp\n" + lines, "ratings"), films


def test_ratings_of_movielens():
    rated, ratings, films = films_and_ratings()
    found = movielens_small.assemble(ratings, movielens_small.table(films, "films"))
    assert [len(y) for y in (found.y_train, found.y_valid, found.y_test)] == [320, 40, 40]
    # Of film 12 there are two ratings alone; both years are one, and what has none is as rare.
    assert found.sizes == (4, 3, 2, 3)
    whole = np.concatenate([found.x_train, found.x_valid, found.x_test])
    liked = np.concatenate([found.y_train, found.y_valid, found.y_test])
    expected = [
        (user - 1, 0 if film == 12 else film - 9, int(film != 12), 0 if film == 12 else film - 9, int(stars >= 4))
        for user, film, stars, _ in rated
    ]
    assert sorted(map(tuple, np.column_stack([whole, liked]).astype(int).tolist())) == sorted(
        tuple(map(int, row)) for row in expected
    )
    again = movielens_small.assemble(ratings, movielens_small.table(films, "films"))
    np.testing.assert_array_equal(again.x_test, found.x_test)


def test_ratings_that_do_not_fit_are_refused():
    _, ratings, films = films_and_ratings(20)
    with pytest.raises(DataError, match="film 12 is rated and is none of those that there are"):
        movielens_small.assemble(ratings, movielens_small.table(films.partition("12,Raft")[0], "films"))
    for wrong in ("a,b\n", "a,b\n1,2\n1\n"):
        with pytest.raises(DataError, match="file: not a table with 2 columns"):
            movielens_small.table(wrong, "file")


def test_movielens_small(real):
    found = real("movielens-small")
    assert [len(y) for y in (found.y_train, found.y_valid, found.y_test)] == [80668, 10084, 10084]
    assert found.sizes[0] == 610
    assert sum(y.sum() for y in (found.y_train, found.y_valid, found.y_test)) == 48580


def test_movielens_is_taken_out_of_its_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALDFA_DATA", str(tmp_path))
    monkeypatch.setattr(cache, "_download", missing)
    path = tmp_path / movielens_small.ARCHIVE.file
    with pytest.raises(DataError, match="not on this machine"):
        movielens_small.load()
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"cannot be unpacked into .*; delete .*ml-latest-small\.zip and try again"):
        movielens_small.load()
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("ml-latest-small/ratings.csv", "another one")
    with pytest.raises(DataError, match=r"ratings\.csv is damaged or not the published file.*delete .*ml-latest-small\.zip"):
        movielens_small.load()
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [path.name]


def test_chosen_files_alone_are_taken_out_of_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        for name in ("../evil", "set/readme", "set/one"):
            zipped.writestr(name, "first")
    archives.unpack(tmp_path / "a.zip", {"set/one": "8b04d5e3775d298e78455efc5ca404d5"}, tmp_path / "to")
    assert [path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*") if path.is_file()] == [
        "set/one"
    ]
    with pytest.raises(DataError, match="does not hold set/two"):
        archives.unpack(tmp_path / "a.zip", {"set/two": ""}, tmp_path / "to")


# --- Lego -------------------------------------------------------------------------------------------------------------


def archive(**arrays):
    blob = io.BytesIO()
    np.savez(blob, **arrays)
    return blob.getvalue()


def views(n=40, colours=4, **changed):
    images = np.random.default_rng(1).integers(0, 256, (n, 2, 3, colours), np.uint8)
    poses = np.tile(np.eye(4), (n, 1, 1))
    return images, archive(**({"images": images, "poses": poses, "focal": np.float64(7.5)} | changed))


def test_views_of_lego():
    images, blob = views()
    found = nerf_lego.assemble(blob, "file")
    for at in ((0, 0, 0), (39, 1, 2)):
        *colour, opaque = images[at] / 255
        np.testing.assert_allclose(found.images[at], np.array(colour) * opaque + 1 - opaque, rtol=1e-5)
    assert (found.focal, found.near, found.far) == (7.5, 2, 6)
    assert found.test.tolist() == [0, 8, 16, 24, 32]
    assert found.valid.tolist() == [4, 36]
    assert len(found.train) == 33
    images, blob = views(colours=3)
    np.testing.assert_allclose(nerf_lego.assemble(blob, "file").images, images / 255, rtol=1e-6)
    images, blob = views(images=np.full((40, 2, 3, 3), 0.25))
    assert (nerf_lego.assemble(blob, "file").images == 0.25).all()


@pytest.mark.parametrize(
    "blob",
    [
        b"no archive", views()[1][:-30], archive(images=np.zeros((9, 2, 2, 3))), views(focal=np.ones(3))[1],
        views(images=np.zeros((9, 2, 2), np.uint8))[1], views(images=np.zeros((9, 2, 2, 3), np.int64))[1],
        views(poses=np.array([Call(os.mkdir, "x")]))[1],
    ],
)  # fmt: skip
def test_files_that_hold_no_views_are_refused(blob):
    with pytest.raises(DataError, match=r"^file: "):
        nerf_lego.assemble(blob, "file")


def test_lego_is_put_in_place_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALDFA_DATA", str(tmp_path))
    with pytest.raises(DataError, match="nerf-lego cannot be downloaded: put the training views"):
        data.read("nerf-lego")
    (tmp_path / "nerf").mkdir()
    (tmp_path / "nerf/lego100.npz").write_bytes(views(colours=3)[1])
    assert "is not the file that published figures are of" in data.read("nerf-lego").notes[0]


def test_lego(real):
    found = real("nerf-lego")
    assert found.images.shape == (100, 100, 100, 3)
    assert found.notes == ()
    # Cameras look at the middle of the scene, from 4 units away.
    ahead = -found.poses[:, :3, 2]
    np.testing.assert_allclose(found.poses[:, :3, 3] + 4.0311 * ahead, 0, atol=1e-3)
    assert found.images[:, 0, 0].min() == 1  # white


# --- Shakespeare ------------------------------------------------------------------------------------------------------


def test_a_text_is_parted_and_numbered():
    written = ("to be, or not\nto be – " * 3)[:60]
    found = tiny_shakespeare.assemble(written)
    assert found.symbols == tuple(sorted(set(written)))
    assert [len(part) for part in (found.train, found.valid, found.test)] == [51, 3, 6]
    assert "".join(found.symbols[k] for part in (found.train, found.valid, found.test) for k in part) == written


def test_tiny_shakespeare(real):
    found = real("tiny-shakespeare")
    assert len(found.symbols) == 65
    assert sum(map(len, (found.train, found.valid, found.test))) == 1_115_394
    assert "".join(found.symbols[k] for k in found.train[:14]) == "First Citizen:"
    longer = real("tiny-shakespeare-90")
    assert [len(longer.train), len(longer.valid), len(longer.test)] == [1_003_855, 0, 111_539]
    np.testing.assert_array_equal(longer.train, np.append(found.train, found.valid))
    np.testing.assert_array_equal(longer.test, found.test)


@pytest.mark.parametrize("name", ["cora", "adult", "nerf-lego", "tiny-shakespeare", "movielens-small"])
def test_networks_of_layers_do_not_read_them(name, real):
    real(name)
    with pytest.raises(DataError, match=rf"^{name} is no set of samples .* table \[module\]"):
        data.load(name)
