"""The tutorials and the gallery run as they stand."""

import runpy
from pathlib import Path

import pytest

from localdfa import analysis, record
from localdfa.analysis import gallery

ROOT = Path(__file__).parent.parent / "analysis"


@pytest.mark.parametrize("path", sorted((ROOT / "tutorials").glob("*.py")), ids=lambda path: path.stem)
def test_tutorial(path, capsys):
    """They assert what they say; their figures come out as files."""
    runpy.run_path(str(path))
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines() if line.endswith(".pdf")]
    assert drawn
    for figure in drawn:
        assert figure.read_bytes().startswith(b"%PDF")


def test_the_gallery_shows_every_figure_there_is():
    page = (ROOT / "GALLERY.md").read_text(encoding="utf-8")
    pictures = {path.stem: path for path in (ROOT / "gallery").iterdir()}
    assert set(pictures) == set(analysis.names())
    for name, path in pictures.items():
        assert f"![{name}](gallery/{name}.png)" in page
        assert path.read_bytes().startswith(b"\x89PNG")
    assert sum(path.stat().st_size for path in pictures.values()) < 75e3 * len(pictures)


def test_the_gallery_is_drawn_from_runs(rate_run, spiking_run, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "runs", lambda folder: {"quickstart": rate_run, "digits-spiking": spiking_run})
    monkeypatch.setattr(analysis, "names", lambda: ["comparison", "errors", "raster"])
    gallery.write(tmp_path, tmp_path)
    page = (tmp_path / "GALLERY.md").read_text(encoding="utf-8")
    assert "(`quickstart` and `digits-spiking`)" in page
    assert analysis.get("raster").caption(spiking_run) in page
    assert len(list((tmp_path / "gallery").glob("*.png"))) == 3


def test_a_run_that_is_there_is_not_trained_again(rate_run, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "_RUNS", {rate_run.folder.name: ()})
    (found,) = gallery.runs(rate_run.folder.parent).values()
    assert isinstance(found, record.Run)
    assert found.folder == rate_run.folder
