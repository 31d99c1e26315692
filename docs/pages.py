"""The code on the pages of the documentation: read, run in order, and its pictures kept.

    python docs/pages.py

runs every page that shows pictures of its own, and writes what its code has drawn as ``NAME.png`` to ``figures/NAME.png``.

Blocks of a page run one after the other in one folder, those of Python with the names of the blocks before; lines of shell that
call ``localdfa`` run in this process. A comment before a block says what else it is:

- ``<!-- file: NAME -->``: a file, which is written to the folder. One of TOML is checked as well.
- ``<!-- shorter: KEY=VALUE ... -->``: what tests add to each ``localdfa run`` by ``--set``.
- ``<!-- not run: WHY -->``: commands are checked against the command line, and nothing is done.
"""

import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from PIL import Image

from localdfa import cli, spec
from localdfa.spec import explain

FOLDER = Path(__file__).parent
FIGURES = FOLDER / "figures"
# Pixels.
_WIDTH = 1000
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>file|shorter|not run): (?P<said>[^\n]*?) -->\n+)?"
    r"^```\{?(?P<kind>[\w-]+)\}?(?: (?P<argument>\S+))?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A block of code of a page. kind: its language; mark, said: what a comment before it says, empty where there is none."""

    page: Path
    kind: str
    text: str
    mark: str
    said: str


def all_pages() -> list[Path]:
    """The README and every page that has code to be run, or commands to be checked."""
    found = [FOLDER.parent / "README.md", FOLDER.parent / "CONTRIBUTING.md", *sorted(FOLDER.rglob("*.md"))]
    return [page for page in found if any(block.kind in ("python", "sh", "toml") for block in blocks(page))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    found = []
    for each in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        kind, text = each["kind"], each["text"]
        if kind == "literalinclude":
            path = page.parent / each["argument"]
            kind, text = {".py": "python", ".toml": "toml"}[path.suffix], path.read_text(encoding="utf-8")
            if not each["mark"]:
                continue  # a file of localdfa's own that is shown
        found.append(Block(page, kind, text, each["mark"] or "", each["said"] or ""))
    return found


def run(page: Path, shorter: bool = True) -> dict[str, Any]:
    """Run the blocks of a page in the working directory, and return the names that those of Python have left.

    shorter: whether trainings are as short as the page says for tests.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.mark == "file":
            Path(block.said).write_text(block.text, encoding="utf-8")
        if block.kind == "toml" and block.mark != "not run":
            spec.experiment(explain.parsed(block.text), source=block.said or page.name)
        if block.kind == "python" and not block.mark:
            exec(compile(block.text, page.name, "exec"), names)
        if block.kind == "sh":
            for arguments in commands(block):
                added = [text for each in block.said.split() for text in ("--set", each)] if block.mark == "shorter" else []
                _command(arguments + added * (shorter and arguments[0] == "run"), block.mark == "not run")
    return names


def commands(block: Block) -> Iterator[list[str]]:
    """The arguments of each ``localdfa`` in a block of shell."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if words[:1] == ["localdfa"] and len(words) > 1:
                yield words[1:]


def _command(arguments: list[str], only_checked: bool) -> None:
    """Run a command of localdfa, or see that there is such a one."""
    arguments, target = (arguments[:-2], arguments[-1]) if ">" in arguments[:-1] else (arguments, None)
    if only_checked:
        with click.Context(cli.main) as context:
            command = cli.main.get_command(context, arguments[0])
            if command is None:
                raise click.UsageError(f"no command {arguments[0]!r}")
            command.make_context(arguments[0], arguments[1:], parent=context)
        return
    with contextlib.ExitStack() as stack:
        if target is not None:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(target, "w", encoding="utf-8"))))
        status = cli.main(arguments, standalone_mode=False)
    if status:
        raise RuntimeError(f"localdfa {shlex.join(arguments)}: exit status {status}")


def pictures(page: Path) -> list[str]:
    """The names of the pictures that a page's own code draws."""
    return re.findall(r"\]\((?:\.\./)?figures/([\w-]+)\.png\)", page.read_text(encoding="utf-8"))


def _keep(drawn: Path, path: Path) -> None:
    """Keep a picture, no larger than a page shows it on a fine screen."""
    with Image.open(drawn) as picture:
        size = (_WIDTH, round(picture.height * _WIDTH / picture.width))
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def draw() -> None:
    """Run the pages that show pictures of their own, at full length, and keep the pictures."""
    for page in all_pages():
        if names := pictures(page):
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                run(page, shorter=False)
                for name in names:
                    _keep(Path(f"{name}.png"), FIGURES / f"{name}.png")
                    print(FIGURES / f"{name}.png")
                os.chdir(FOLDER)


if __name__ == "__main__":
    draw()
