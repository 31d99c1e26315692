"""The documentation: the code of its pages runs, it builds without a network, and its links lead somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import numpy as np
import pages
import pytest

import localdfa
from localdfa import cli, outputs, record, registry
from localdfa.analysis import report
from localdfa.errors import SpecError
from localdfa.spec import explain

ROOT = Path(__file__).parents[1]


def _the_first_run(names, said):
    angles = names["run"].table().angle_to_dfa
    assert angles["local"] < 0.01


def _rules(names, said):
    angles = names["run"].frame().query("epoch > 0").groupby("condition").angle_to_dfa_2
    assert angles.max()["local"] < 0.01
    assert angles.min()["live"] > 10
    errors = names["run"].table().test_error
    assert errors["frozen"] > 2 * errors.drop("frozen").max()


def _circuit(names, said):
    text = (pages.FOLDER / "tutorials" / "circuit.md").read_text(encoding="utf-8").replace("\n", " ")
    rate, cv = names["result"].rates("exc").mean(), np.nanmean(names["result"].cv("exc"))
    claimed = re.search(r"fire at about (\d+) Hz, with a CV of intervals of (\d\.\d)", text)
    assert abs(rate - float(claimed[1])) < 2
    assert abs(cv - float(claimed[2])) < 0.1
    first, other = (names["after"][k::2].mean(axis=0) for k in (0, 1))
    assert first[0] - first[1] > 10
    assert other[1] - other[0] > 10


def _module(names, said):
    assert names["loss"] < 0.3
    assert "0.weight  tap '1'\n" in said
    assert "'3': Alignment(cosine=" in said


def _from_python(names, said):
    assert Path("angles.pdf").stat().st_size > 1000
    assert set(names["numbers"].series) == {"local", "bp"}


# What pages say of their own code, beyond that it runs: from the names that it leaves and what it has printed.
SAID = {
    "README.md": _the_first_run, "index.md": _the_first_run, "rules.md": _rules, "circuit.md": _circuit, "pytorch.md": _module,
    "python.md": _from_python,
}  # fmt: skip


@pytest.mark.parametrize("page", pages.all_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_files", {})  # models that pages bring are forgotten again
    # A report takes ten seconds to draw; tests of its own do.
    monkeypatch.setattr(report, "write", lambda *runs, path=None: path or runs[0].folder / "report.html")
    names = pages.run(page)
    SAID.get(page.name, lambda names, said: None)(names, capsys.readouterr().out)
    for name in pages.pictures(page):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (pages.FIGURES / f"{name}.png").stat().st_size < 120e3


def test_code_that_is_wrong_is_found(tmp_path, monkeypatch):
    """A page whose code fails, a command that there is not, and a key that there is not."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    for text, error in (
        ("```python\n1 / 0\n```\n", ZeroDivisionError),
        ("<!-- not run: why -->\n\n```sh\nlocaldfa shwo quickstart\n```\n", click.UsageError),
        ("<!-- not run: why -->\n\n```sh\nlocaldfa show quickstart --al\n```\n", click.UsageError),
        ("```sh\nlocaldfa show quickstrat\n```\n", RuntimeError),
        ("```toml\nnetwork.hiden = [3]\n```\n", SpecError),
    ):
        page.write_text(f"# A page\n\n{text}", encoding="utf-8")
        with pytest.raises(error):
            pages.run(page)


def test_extras_that_pages_name_are_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(explain.parsed(text)["project"]["optional-dependencies"])
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages.FOLDER.rglob("*.md")]:
        for named in re.findall(r'pip install -e "\.\[([\w,]+)\]"', page.read_text(encoding="utf-8")):
            assert set(named.split(",")) <= extras, page


def test_the_extra_all_leaves_out_what_it_says_alone():
    extras = explain.parsed((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found, left = set(), ["all"]
    while left:
        name = left.pop()
        found.add(name)
        left += [
            other
            for entry in extras[name]
            for names in re.findall(r"localdfa\[([\w,]+)\]", entry)
            for other in names.split(",")
        ]
    assert set(extras) - found == {"brian2", "nest", "annarchy", "snntorch", "docs", "browser", "dev"}


class Page(HTMLParser):
    """A page as a browser sees it. ids: places that links lead to; links: where they lead; loaded: what comes with the page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loaded.append(found["href"])
        self.loaded += [found[key] for key in ("src", "srcset", "poster", "data-src") if found.get(key)]


@pytest.fixture(scope="module")
def built(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def test_links_lead_somewhere(site, built):
    assert len(built) > 30
    for path, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            assert not parts.fragment or unquote(parts.fragment) in built[target].ids, f"{path.relative_to(site)}: {link}"


def test_pages_load_nothing_from_elsewhere(site, built):
    for path, page in built.items():
        for source in page.loaded:
            here = source.startswith("data:") or (path.parent / urlsplit(source).path).is_file()
            assert here, f"{path.relative_to(site)}: {source}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", text), style.name


def test_the_reference_has_all_that_there_is(site, built):
    keys = (site / "reference" / "spec.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<tr class="row-\w+"><td><p><code[^>]*><span class="pre">([\w.]+)</span>', keys))
    assert shown == {key.name for key in explain.all_keys()}
    assert {f"localdfa-{name}" for name in cli.main.commands} <= built[site / "reference" / "cli.html"].ids
    documented = {name.rpartition(".")[2] for name in built[site / "reference" / "python.html"].ids}
    assert {found.__name__ for name in localdfa.__all__ if callable(found := getattr(localdfa, name))} <= documented
    models = (site / "reference" / "models.html").read_text(encoding="utf-8")
    adding = (pages.FOLDER / "extending.md").read_text(encoding="utf-8")
    for name, family in registry.FAMILIES.items():
        assert f"`{family.package.replace('.', '/')}/`" in adding
        assert all(f'<span class="pre">{model}</span>' in models for model in registry.inside(name))


def test_every_column_of_the_metrics_is_explained(rate_run, spiking_run):
    """And nothing else; those of predictions stand there without the part of the data."""
    text = (pages.FOLDER / "reference" / "metrics.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    explained = {name for cell in cells for name in re.findall(r"`(\w+|…\w+)`", cell)}
    of_parts = {f"…_{measure}" for measure in outputs.measures()} | {"…_loss"}
    measured = {key for run in (rate_run, spiking_run) for row in run.metrics for key in row}
    of_rows = {re.sub("^(train|valid|test)_", "…_", key) for key in measured}
    assert explained == of_rows | of_parts | set(record.PER_LAYER) | {record.KEPT}


def test_formulas_are_mathml(site):
    text = (site / "theory" / "rule.html").read_text(encoding="utf-8")
    assert text.count("<math") > 30
    assert "\\frac" not in text
