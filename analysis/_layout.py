"""Whether a figure can be read at its size: text on the page, panels and labels apart; and what makes room for them."""

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedLocator, NullFormatter
from matplotlib.transforms import Bbox

# The gid of numbers in the cells of an image, which are left out where they cannot be read.
CELL = "cell"
# Inches that a panel has at least to each side, by which boxes may overlap and leave the page, and how often ticks are halved.
_LEAST, _SLACK, _EDGE, _ROUNDS = 0.25, 0.02, 0.002, 4


class Made:
    """What of a figure is changed to fit a size: text is made smaller, ticks and numbers in cells are left out."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.size: tuple[float, float] = (figure.get_figwidth(), figure.get_figheight())
        axes = [each for each in figure.axes if each.get_visible()]
        self._axes, self._axis = axes, [axis for each in axes for axis in (each.xaxis, each.yaxis)]
        texts = [child for each in (figure, *axes) for child in each.get_children() if isinstance(child, Text)]
        texts += [text for axis in self._axis for text in (axis.label, axis.offsetText)]
        texts += [text for each in axes if (legend := each.get_legend()) for text in legend.get_texts()]
        self._texts = [(text, float(text.get_fontsize())) for text in texts]
        self._ticks = [(axis, float(axis.get_major_ticks(1)[0].label1.get_fontsize())) for axis in self._axis]
        self._cells = [(each, [text for text in each.texts if text.get_gid() == CELL]) for each in axes]
        self._thinned = list[tuple[Axis, object, object]]()

    def restore(self, scale: float) -> None:
        """As it was made, all text but the figure's legend scaled."""
        for axis, locator, formatter in self._thinned:
            axis.set_major_locator(locator)  # type: ignore[arg-type]
            axis.set_minor_formatter(formatter)  # type: ignore[arg-type]
        self._thinned = []
        for text, size in self._texts:
            text.set_fontsize(scale * size)
        for axis, size in self._ticks:
            axis.set_tick_params(which="both", labelsize=scale * size)
        for _, cells in self._cells:
            for text in cells:
                text.set_visible(True)

    def settle(self) -> bool:
        """Lay out the panels, with fewer ticks where their labels meet, and say whether all can be read."""
        for _ in range(_ROUNDS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that there is no room, which is found out below
                lay_out(self.figure)
            crowded = [axis for axis in self._axis if _meet(_tick_labels(axis))]
            if not crowded or not self._thin(crowded):
                break
        if any(_meet(cells) for _, cells in self._cells):
            for _, cells in self._cells:
                for text in cells:
                    text.set_visible(False)
        return not crowded and self._apart()

    def _thin(self, crowded: Sequence[Axis]) -> bool:
        """Leave out every other tick of axes, and all labels of minor ones; whether any could be."""
        shared = {id(axis.major): axis for axis in crowded}
        found = False
        for axis in shared.values():
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
            if len(ticks) < 3:
                continue
            self._thinned.append((axis, axis.get_major_locator(), axis.get_minor_formatter()))
            first = ticks.index(0) % 2 if 0 in ticks else 0
            axis.set_major_locator(FixedLocator(ticks[first::2]))
            axis.set_minor_formatter(NullFormatter())
            found = True
        return found

    def _apart(self) -> bool:
        """Whether all lies on the page, and apart, and panels have some size."""
        inches = self.figure.dpi_scale_trans.inverted()
        loose: list[Artist] = [*self._axes, *self.figure.legends, *self.figure.texts]
        boxes = [box.transformed(inches) for each in loose if (box := each.get_tightbbox()) is not None]
        width, height = self.figure.get_size_inches()
        if any(b.x0 < -_EDGE or b.y0 < -_EDGE or b.x1 > width + _EDGE or b.y1 > height + _EDGE for b in boxes):
            return False
        if _overlap(boxes, _SLACK):
            return False
        for axes in self._axes:
            panel = axes.get_window_extent().transformed(inches)
            if axes.get_label() != "<colorbar>" and min(panel.width, panel.height) < _LEAST:
                return False
            written = [text for text in axes.get_children() if isinstance(text, Text) and not isinstance(text, Annotation)]
            if _meet([text for text in written if text.get_gid() != CELL]):
                return False
        return True


def lay_out(figure: Figure) -> None:
    """Give every panel its place, as drawing the figure would."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    for axes in figure.axes:
        axes.apply_aspect()


def _tick_labels(axis: Axis) -> list[Text]:
    """The labels of ticks that are seen."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    return [
        label
        for minor in (False, True)
        for tick, label in zip(axis.get_ticklocs(minor=minor), axis.get_ticklabels(minor=minor), strict=False)
        if low - slack <= tick <= high + slack
    ]


def _meet(texts: Sequence[Text]) -> bool:
    """Whether any two texts that are seen overlap."""
    return _overlap([text.get_window_extent() for text in texts if text.get_visible() and text.get_text()], 0)


def _overlap(boxes: Sequence[Bbox], slack: float) -> bool:
    """Whether any two boxes overlap by more than this to both sides."""
    if len(boxes) < 2:
        return False
    x0, y0, x1, y1 = np.array([box.extents for box in boxes]).T
    wide = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    high = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    return bool(np.triu((wide > slack) & (high > slack), 1).any())
