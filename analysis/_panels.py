"""What the panels of a figure show, as numbers, and one of them drawn anew on axes of the user's own."""

import copy
import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Annotation
from matplotlib.transforms import Transform

from localdfa.analysis import _heat, _layout, style
from localdfa.errors import SpecError

# Columns of the numbers of a figure, see `rows`.
COLUMNS = ("panel", "title", "x_label", "y_label", "series", "x", "y", "low", "high", "value")
# Of a scale of an axis what Matplotlib keeps in its transform.
_OF_SCALE = ("base", "linthresh", "linscale")


class Panel(NamedTuple):
    """A panel of a figure: its axes, its letter, and the texts that stand at it or, where panels share them, at another one."""

    axes: Axes
    letter: str
    title: str
    x_label: str
    y_label: str


def panels(figure: style.Figure) -> list[Panel]:
    """The panels of a figure in their order, without the scales of colours."""
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    return [
        Panel(
            axes,
            axes.get_title(loc="left") or style.letter(i),
            _shared(axes, shown, "title"),
            _shared(axes, shown, "x_label"),
            _shared(axes, shown, "y_label"),
        )
        for i, axes in enumerate(shown)
    ]


def _shared(axes: Axes, shown: Sequence[Axes], what: str) -> str:
    """A text of a panel; where it has none, that of the nearest panel that stands above, below or to the left of it."""
    own, place = _text(axes, what), axes.get_subplotspec()
    if own or place is None:
        return own
    for other in shown[::-1] if what == "x_label" else shown:
        there = other.get_subplotspec()
        if there is None or there.get_gridspec() is not place.get_gridspec():
            continue
        alike = there.rowspan == place.rowspan if what == "y_label" else there.colspan == place.colspan
        if alike and (text := _text(other, what)):
            return text
    return ""


def _text(axes: Axes, what: str) -> str:
    """A title or label in a line."""
    text = {"title": axes.get_title, "x_label": axes.get_xlabel, "y_label": axes.get_ylabel}[what]()
    return " ".join(str(text).split())


def rows(figure: style.Figure) -> Iterator[dict[str, Any]]:
    """What a figure shows, a row for each point of a curve, entry of an image, and so on; see `COLUMNS`.

    panel: its letter. title, x_label, y_label: the texts of the panel. series: the label of a curve, or of the line of the
    panel that it lies on; empty where it has none.
    x, y: a point. low, high: where a band reaches at that x. value: of the entry of an image whose centre is (x, y); of a
    coloured image its channels follow one another, as series ``red``, ``green`` and ``blue``. What a row has not is None.
    """
    for panel in panels(figure):
        texts = {"panel": panel.letter, "title": panel.title, "x_label": panel.x_label, "y_label": panel.y_label}
        bands = {band.label: band for band in figure.bands if band.axes is panel.axes}
        for line in _curves(panel.axes):
            label, by_y = _label(line), _names(panel.axes)
            x, y = (_numbers(values) for values in line.get_data())
            found = bands.get(label)
            reach = {} if found is None else {a: (b, c) for a, b, c in zip(found.x, found.low, found.high, strict=True)}
            for a, b in zip(x, y, strict=True):
                low, high = reach.get(a, (None, None))
                yield {**_EMPTY, **texts, "series": label or by_y.get(b, ""), "x": a, "y": b, "low": low, "high": high}
        for image in panel.axes.images:
            for series, *entry in (*_entries(image), *_written(panel.axes, image)):
                yield {**_EMPTY, **texts, "series": series, **dict(zip(("x", "y", "value"), entry, strict=True))}
        for patch in panel.axes.patches:
            if isinstance(patch, StepPatch):
                values, edges, _ = patch.get_data()
                for centre, value in zip((edges[1:] + edges[:-1]) / 2, values, strict=True):
                    yield {**_EMPTY, **texts, "series": _label(patch), "x": float(centre), "y": float(value)}
            elif isinstance(patch, Rectangle) and all(_in_data(patch, panel.axes)):  # a bar, and no span from side to side
                end, middle = patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height() / 2
                spreads = [ends for bars in _error_bars(panel.axes) for ends in bars.get_segments()]
                low, high = next(((a, b) for (a, y), (b, _) in spreads if y == round(middle)), (None, None))
                bar = {"series": f"{_names(panel.axes).get(round(middle), '')} (bar)", "x": end, "y": middle}
                yield {**_EMPTY, **texts, **bar, "low": low, "high": high}


_EMPTY = dict.fromkeys(COLUMNS)


def table(figure: style.Figure) -> bytes:
    """What a figure shows as a file of comma-separated values, with a line of headings; see `rows`."""
    text = io.StringIO()
    written = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    written.writeheader()
    written.writerows(rows(figure))
    return text.getvalue().encode()


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in np.ma.filled(np.ma.asarray(values, float), np.nan)]


def _error_bars(axes: Axes) -> list[LineCollection]:
    """What stands for the spread of bars."""
    return [bars for each in axes.containers if isinstance(each, ErrorbarContainer) for bars in each.lines[2]]


def _names(axes: Axes) -> dict[float, str]:
    """The names of the lines of a panel, by their place, where its y axis has names in place of numbers."""
    names = axes.yaxis.get_major_formatter()
    return dict(enumerate(names.names)) if isinstance(names, style.Names) else {}


def _written(axes: Axes, image: AxesImage) -> Iterator[tuple[str, float, float, float]]:
    """As `_entries`, of the entries of an image that have no colour, but a number written in them."""
    values = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
    for text in axes.texts:
        x, y = (round(float(at)) for at in text.get_position())
        inside = values.ndim == 2 and 0 <= y < values.shape[0] and 0 <= x < values.shape[1]
        known = text.get_text() != _heat.NONE
        if text.get_gid() == _layout.CELL and inside and np.isnan(values[y, x]) and known:
            yield "", float(x), float(y), float(text.get_text())


def _label(artist: Artist) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else label


def _curves(axes: Axes) -> list[Line2D]:
    """The lines of a panel whose points are data, and not levels from side to side, or the ends of error bars."""
    spreads = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    ends = [line for each in spreads for line in (each.lines[0], *each.lines[1])]
    return [line for line in axes.lines if all(_in_data(line, axes)) and line not in ends]


def _in_data(artist: Artist, axes: Axes) -> tuple[bool, bool]:
    """Whether x and y of an artist are those of the data, and not parts of the panel's width and height."""
    in_x, in_y = artist.get_transform().contains_branch_seperately(axes.transData)
    return bool(in_x), bool(in_y)


def _transform(artist: Artist, shown: Axes, axes: Axes) -> Transform:
    """What an artist of one panel is drawn by on other axes."""
    in_x, in_y = _in_data(artist, shown)
    if in_x and in_y:
        return axes.transData
    return axes.get_yaxis_transform() if in_y else axes.get_xaxis_transform() if in_x else axes.transAxes


def _entries(image: AxesImage) -> Iterator[tuple[str, float, float, float]]:
    """Channel, x, y and value of each entry of an image; those that are masked or NaN are left out."""
    values = np.ma.asarray(image.get_array())
    n_rows, n_columns = values.shape[:2]
    left, right, bottom, top = image.get_extent()
    upwards = image.origin == "lower"
    x = left + (np.arange(n_columns) + 0.5) * (right - left) / n_columns
    y = (bottom + (np.arange(n_rows) + 0.5) * (top - bottom) / n_rows) if upwards else (
        top + (np.arange(n_rows) + 0.5) * (bottom - top) / n_rows
    )  # fmt: skip
    channels = [("", values)] if values.ndim == 2 else list(
        zip(("red", "green", "blue"), np.moveaxis(values[..., :3], -1, 0), strict=True)
    )  # fmt: skip
    for series, channel in channels:
        known = np.ma.filled(channel.astype(float), np.nan)
        for i, j in zip(*np.nonzero(~np.isnan(known)), strict=True):
            yield series, float(x[j]), float(y[i]), float(known[i, j])


def chosen(figure: style.Figure, name: str, panel: str | None) -> Panel:
    """A panel by its letter; the first where none is named.

    Raises
    ------
    SpecError
        There is no such panel; the message has all letters and what they show.
    """
    found = panels(figure)
    if panel is None:
        return found[0]
    for each in found:
        if each.letter == panel:
            return each
    there = ", ".join(f"{each.letter} ({': '.join(filter(None, (each.title, each.y_label)))})" for each in found[:30])
    raise SpecError(f"figure {name!r} has no panel {panel!r}; it has {there}")


def placed(figure: style.Figure, name: str, ax: Any, panel: str | None) -> list[tuple[Panel, Axes]]:
    """Which panel is drawn on which axes: one, by its letter, on one axes, or all on an array of as many.

    Raises
    ------
    SpecError
        There is no such panel; or ax is no axes, or an array of fewer or more than there are panels.
    """
    if isinstance(ax, Axes):
        return [(chosen(figure, name, panel), ax)]
    places = np.asarray(ax, object).reshape(-1).tolist()
    if wrong := [each for each in places if not isinstance(each, Axes)]:
        raise SpecError(f"ax: {type(wrong[0]).__name__}; allowed: axes of Matplotlib, or an array of them")
    found = panels(figure)
    if len(places) != len(found):
        raise SpecError(
            f"ax: {len(places)} axes, and the figure {name!r} has {len(found)} panels; allowed: as many as panels, or one axes "
            f"with panel = {found[0].letter!r}"
        )
    if panel is not None:
        raise SpecError(f"panel: {panel!r} is drawn on one axes, and ax has {len(places)}; allowed: leave panel out")
    return list(zip(found, places, strict=True))


def draw(figure: style.Figure, panel: Panel, axes: Axes) -> None:
    """Draw a panel on other axes: its curves, bands, images, levels and texts, with its scales, bounds, ticks and labels.

    Lines keep their colours, dashes, marks and labels, of which a legend can be made; sizes of text are those of the axes.
    """
    shown = panel.axes
    if to_hex(shown.get_facecolor()) != "#ffffff":
        axes.set_facecolor(shown.get_facecolor())
    for band in figure.bands:
        if band.axes is shown:
            axes.fill_between(band.x, band.low, band.high, color=band.color, alpha=0.2, linewidth=0, zorder=2)
    for image in shown.images:
        values: Any = image.get_array()
        norm: Any = image.norm
        axes.imshow(
            values, cmap=image.get_cmap(), norm=norm, extent=image.get_extent(), origin=image.origin,
            interpolation=image.get_interpolation(), aspect=shown.get_aspect(),
        )  # fmt: skip
    for bars in _error_bars(shown):
        axes.add_collection(
            LineCollection(bars.get_segments(), colors=bars.get_colors(), linewidths=bars.get_linewidth(), zorder=bars.zorder)
        )
    levels = [line for line in shown.lines if not all(_in_data(line, shown))]
    for line in (*levels, *_curves(shown)):
        copied = Line2D(*line.get_data())
        copied.update_from(line)
        copied.set(label=str(line.get_label()), transform=_transform(line, shown, axes), markevery=line.get_markevery())
        axes.add_line(copied)
    for patch in shown.patches:
        copy_of: StepPatch | Rectangle
        if isinstance(patch, StepPatch):
            values, edges, baseline = patch.get_data()
            copy_of = StepPatch(values, edges, baseline=baseline)
        elif isinstance(patch, Rectangle):
            copy_of = Rectangle(patch.get_xy(), patch.get_width(), patch.get_height())
        else:
            continue
        copy_of.update_from(patch)
        copy_of.set(label=str(patch.get_label()), transform=_transform(patch, shown, axes))
        axes.add_patch(copy_of)
    for text in shown.texts:
        if not isinstance(text, Annotation):
            axes.text(
                *text.get_position(), text.get_text(), transform=_transform(text, shown, axes), color=text.get_color(),
                ha=text.get_horizontalalignment(), va=text.get_verticalalignment(), parse_math=False,
            )  # fmt: skip
    for which in ("x", "y"):
        _take_axis(shown, axes, which)
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)


def _take_axis(shown: Axes, axes: Axes, which: str) -> None:
    """Give an axis the scale, bounds and ticks of another."""
    source, target = getattr(shown, f"{which}axis"), getattr(axes, f"{which}axis")
    transform, scale = source.get_transform(), source.get_scale()
    options = {key: getattr(transform, key) for key in _OF_SCALE if hasattr(transform, key)} if scale != "linear" else {}
    getattr(axes, f"set_{which}scale")(scale, **options)
    getattr(axes, f"set_{which}lim")(getattr(shown, f"get_{which}lim")())
    target.set_major_locator(copy.copy(source.get_major_locator()))
    target.set_minor_locator(copy.copy(source.get_minor_locator()))
    target.set_major_formatter(copy.copy(source.get_major_formatter()))
    target.set_minor_formatter(copy.copy(source.get_minor_formatter()))
