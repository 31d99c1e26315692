"""The examples in docstrings, run as they stand."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

# Modules whose public names a script or notebook uses.
MODULES = ["localdfa.data.given", "localdfa.results", "localdfa.sklearn", "localdfa.spec.explain", "localdfa.train"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed


def test_the_readme_has_a_script_that_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"<!-- run: python -->\n\n```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "README.md", "exec"), names)
    assert "test_error" in capsys.readouterr().out
    assert (tmp_path / "angles.pdf").stat().st_size > 1000
    assert (tmp_path / "runs/mine/report.html").is_file()
    assert set(names["numbers"].series) == {"local", "bp"}
