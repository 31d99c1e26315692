"""Text that each condition writes after training, symbol by symbol as it predicts them.

Reads the samples of text that a finished run keeps.
"""

import textwrap

import numpy as np

from localdfa.analysis import _kept, _many, style, summary
from localdfa.record import Run

TITLE, SECTION = "Text that is written", "learning"

# Lines of text of each condition, and signs of a line in a column of two.
_LINES, _WIDE = 14, 52
_CONDITIONS = 8


def caption(run: Run) -> str:
    """What to see."""
    kept = _kept.of_modules(run, "sample", "sample")
    seeds = ", of the first seed" if summary.several(run, "outcome") else ""
    return (
        f"Text that each condition writes after training{seeds}: every symbol is drawn with the probability that was predicted "
        f"for it from those before. Lines that are longer than a panel are folded.{_many.said(len(kept), _CONDITIONS)}"
    )


def figure(run: Run) -> style.Figure:
    """A panel of text for each condition.

    Raises
    ------
    RunError
        No condition and seed is finished; or the data are no text.
    """
    kept = dict(list(_kept.of_modules(run, "sample", "sample").items())[:_CONDITIONS])
    texts = {name: _lines(outcome) for name, outcome in kept.items()}
    with style.context():
        columns = min(2, len(texts))
        rows = -(-len(texts) // columns)
        drawn = style.Figure(style.TWO_COLUMNS, 0.2 + rows * (0.35 + 0.115 * _LINES))
        panels = list(drawn.subplots(rows, columns, squeeze=False).ravel())
        for axes in panels[len(texts) :]:
            axes.remove()
        for axes, (name, lines) in zip(panels, texts.items(), strict=False):
            axes.set_title(style.folded(name, style.TWO_COLUMNS / columns - 0.5), loc="left")
            axes.text(
                0, 1, "\n".join(lines), transform=axes.transAxes, va="top", family="monospace", fontsize=style.points(5.5),
                parse_math=False,
            )  # fmt: skip
            axes.set_axis_off()
    return drawn


def _lines(outcome: dict[str, np.ndarray]) -> list[str]:
    """The first lines of what a module has written."""
    symbols = outcome["symbols"].tolist()
    text = "".join(symbols[place] for place in outcome["sample"])
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, _WIDE, drop_whitespace=False) or [""]]
    return lines[:_LINES]
