"""Files of arrays: what was saved comes back to the bit, and what is not that is refused with the name of the file."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localdfa import arrays
from localdfa.errors import RunError

SAVED = {
    "a": np.arange(6.0).reshape(2, 3),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "none": np.empty((0, 4), np.int64),
    "one": np.array(True),
    "nan": np.array([np.nan, -0.0, np.inf]),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "a.npz"
    arrays.save(path, "spikes", SAVED)
    return path


def test_what_was_saved_comes_back_to_the_bit(path):
    found = arrays.load(path, "spikes")
    assert list(found) == list(SAVED)
    for name, array in SAVED.items():
        assert (found[name].dtype, found[name].shape, found[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("value", [[1, "x", None], np.array([{}]), None])
def test_objects_which_could_not_be_read_again_are_not_written(path, value):
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"spikes: a = .* holds objects of Python; allowed: numbers, truths or texts alone"):
        arrays.save(path, "spikes", {"a": value})
    assert path.read_bytes() == before
    arrays.save(path, "spikes", {"a": [1, 2], "b": ["x", "y"], "c": 3.5})
    assert [array.tolist() for array in arrays.load(path, "spikes").values()] == [[1, 2], ["x", "y"], 3.5]


def written(**members):
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def as_saved(path):
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: written(**{**saved, "a": saved["a"] + 1}), "damaged: its checksum"),
        (lambda saved: written(**{**saved, "a": saved["a"].reshape(3, 2)}), "damaged: its checksum"),
        (lambda saved: written(**{**saved, "a": saved["a"].view(np.int64)}), "damaged: its checksum"),
        (lambda saved: written(**{k: v for k, v in saved.items() if k != "one"}), "damaged: its checksum"),
        (lambda saved: written(**saved, more=np.arange(2)), "damaged: its checksum"),
        (lambda saved: written(**SAVED), "damaged or not written by localdfa: it does not say what it holds"),
        (lambda saved: written(**{**saved, "localdfa": np.array("{")}), "damaged or not written by localdfa"),
        (lambda saved: written(**{**saved, "localdfa": np.array("[]")}), "damaged or not written by localdfa"),
        (lambda saved: written(**{**saved, "localdfa": np.array('{"version": 0}')}), "written by another version of localdfa"),
        (lambda saved: b"", "damaged or not written by localdfa"),
    ],
)
def test_a_file_that_is_not_what_was_saved_is_refused(path, change, message):
    path.write_bytes(change(as_saved(path)))
    with pytest.raises(RunError, match=rf"a\.npz: {message}"):
        arrays.load(path, "spikes")


def test_a_file_of_another_kind_or_none_is_refused(path):
    with pytest.raises(RunError, match=r"a\.npz: holds 'spikes', not 'states'"):
        arrays.load(path, "states")
    path.unlink()
    with pytest.raises(RunError, match=r"a\.npz: there is no such file"):
        arrays.load(path, "spikes")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("arrays") / "a.npz"
    arrays.save(path, "spikes", SAVED)
    return path.with_name("b.npz"), path.read_bytes()


@given(data=st.data())
def test_no_damage_changes_what_is_read(whole, data):
    path, content = whole
    cut = data.draw(st.integers(0, len(content)))
    changed = bytearray(content[:cut] if data.draw(st.booleans()) else content)
    for _ in range(data.draw(st.integers(0, 3)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed)
    with contextlib.suppress(RunError):  # none where what was hit tells nothing, such as a date
        found = arrays.load(path, "spikes")
        assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in SAVED.items()}
