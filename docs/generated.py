"""What pages have from the code, made when they are built: keys of the spec, models, scripts in cells, mathematics.

A page asks for it by a comment, ``<!-- generated: keys -->``; see `MAKERS`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

from localdfa import analysis, registry
from localdfa.spec import explain

ROOT = Path(__file__).parents[1]
# In the docstring of a class or function: sections whose entries are a name, a colon and what it is.
_SECTIONS = ("Parameters", "Attributes")


def keys() -> str:
    """Every key of the spec, a table for each table of the spec, and one for each model that has parameters."""
    known = explain.all_keys()
    of_tables, of_models = [key for key in known if not key.of], [key for key in known if key.of]
    lines = []
    for table, group in groupby(sorted(of_tables, key=_place(of_tables)), lambda key: _table(key.name)):
        lines += [f"## {f'`{table}`' if table else 'Keys of the experiment'}\n", *_rows(group)]
    lines.append("## Parameters of models\n")
    for model, group in groupby(of_models, lambda key: key.of):
        found = list(group)
        lines += [f"### `{model}`, in `{found[0].name.rpartition('.')[0]}`\n", *_rows(found)]
    return "\n".join(lines)


def _table(name: str) -> str:
    return name.partition(".")[0] if "." in name else ""


def _place(known: list[explain.Key]) -> Callable[[explain.Key], int]:
    """Tables in the order in which they come, keys without a table first."""
    tables = ["", *dict.fromkeys(filter(None, (_table(key.name) for key in known)))]
    return lambda key: tables.index(_table(key.name))


def _rows(found: Iterable[explain.Key]) -> Iterator[str]:
    yield "| key | meaning | type | unit | allowed | default |\n| --- | --- | --- | --- | --- | --- |"
    for key in found:
        default = f"`{key.default}`" if key.default else ""
        cells = (f"`{key.name}`", key.meaning, key.type, key.unit, key.allowed, default)
        yield f"| {' | '.join(cell if cell.startswith('`') else _escaped(cell) for cell in cells)} |"
    yield ""


def _escaped(text: str) -> str:
    """A text as it stands in a cell of a table of Markdown."""
    return re.sub(r"([|*_<>$\[\]])", r"\\\1", text)


def models(family: str) -> str:
    """The models of a family, with what their files say of themselves in a line."""
    figures = {name: registry.describe("analysis", name) for name in analysis.names()} if family == "figures" else {}
    rows = [f"| `{name}` | {_escaped(text)} |" for name, text in (figures or registry.described(family)).items()]
    return "\n".join(["| name | what it is |", "| --- | --- |", *rows, ""])


def script(path: str) -> str:
    """A script in cells as a page: its cells of Markdown, and of code."""
    parts = []
    for cell in re.split(r"^# %%", (ROOT / path).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip())
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + f"\n\nThis page is the script `{path}`, which runs as it stands.\n"


MAKERS = {"keys": keys, "models": models, "script": script}


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what a page asks for in the place of its comments."""

    def made(found: re.Match[str]) -> str:
        name, *arguments = found[1].split()
        return MAKERS[name](*arguments)

    source[0] = re.sub(r"<!-- generated: (.*?) -->", made, source[0])


def numpydoc(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Entries ``name: what it is`` of sections as numpydoc has them, a name in a line and a text below it."""
    inside = False
    old, lines[:] = list(lines), []
    for line, after in zip(old, [*old[1:], ""], strict=True):
        if re.fullmatch("-{3,}", after):
            inside = line in _SECTIONS
        line = re.sub(r"(?<=, )\*(?=\w)", r"\\*", line)  # of the shape (n, *shape)
        found = re.match(r"([\w*, /]+): (.*)", line) if inside else None
        if found and not found[1].endswith(" "):
            lines += [found[1], f"    {found[2]}"]
        else:
            lines.append(line)


def visit_math(self: Any, node: nodes.Element) -> None:
    """Formulas as MathML, which browsers show by themselves; one on a line of its own in a box that scrolls."""
    block = isinstance(node, nodes.math_block)
    made = tex2mathml(node.astext(), as_block=block)
    self.body.append(f'<div class="formula">{made}</div>' if block else made)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", numpydoc, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
