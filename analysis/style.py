"""How figures look: legible for the colour-blind, in grey and in print, the same on every machine.

Only Matplotlib's object-oriented interface is used: no window opens, no backend is chosen, no setting stays changed.
Two styles: ``paper``, at the width of one or two columns of a journal, and ``talk``, larger, with larger text still. In
vector files the fonts are embedded (PDF) or drawn (SVG), so that a figure looks the same wherever it is opened.

Text is text: names come from users, so nothing is read as Matplotlib's mathematics.
"""

import io
import math
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from itertools import product
from numbers import Real
from typing import Any, NamedTuple

import matplotlib
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from localdfa import registry
from localdfa.analysis import _layout
from localdfa.analysis.summary import Curve
from localdfa.errors import LocalDFAError, SpecError, quoted

# Widths of one and two columns of a journal, inches.
ONE_COLUMN, TWO_COLUMNS = 3.4, 7.0

# Okabe & Ito (2008), without the yellow that white paper swallows.
PALETTE = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
# Tol's muted scheme and black: for up to ten classes of samples, which have no other mark.
CLASSES = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000",
)  # fmt: skip
# Blue to red through white, for what has a sign; white to dark, for what has none.
SIGNED, UNSIGNED = "RdBu_r", "Blues"
# A dashed line that curves are read against, and what stands back.
GREY = "#666666"
LEVEL: dict[str, Any] = {"color": GREY, "linewidth": 0.7, "linestyle": (0, (5, 3)), "zorder": 1.5}
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib
    "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8, "legend.fontsize": 8,
    "xtick.labelsize": 7, "ytick.labelsize": 7,
    "axes.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.5, "axes.axisbelow": True,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4, "ytick.minor.width": 0.4,
    "lines.linewidth": 1.2, "lines.markersize": 3.2, "lines.markeredgewidth": 0.0,
    "legend.frameon": False, "legend.handlelength": 3.2,
    "text.parse_math": False, "text.usetex": False,
    "figure.dpi": 100, "savefig.dpi": 300, "figure.facecolor": "white", "savefig.facecolor": "white",
    "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "localdfa",
}  # fmt: skip
# All others as Matplotlib has them, whatever the user's are; the backend is left alone.
_SETTINGS: Any = {
    **{key: matplotlib.rcParamsDefault[key] for key in matplotlib.rcParamsDefault if not key.startswith("backend")},
    **_RC,
}


class Look(NamedTuple):
    """One style, against that of a paper: the size of a figure, of its text, and the width of its lines."""

    size: float
    text: float
    lines: float


# Characters of a line that is not folded further.
_SHORTEST = 8
# Sizes of the text of a legend, points of a paper, from the first down, and columns, until the panels have so much height,
# inches.
_LEGEND_SIZES, _LEGEND_COLUMNS, _LEAST_PANELS = (8, 7, 6, 5), 8, 1.2
# What a legend takes beside its labels and lines, inches of a paper.
_BESIDE = 0.15
# How much smaller other text is made to fit a size, and in how many steps a size that is large enough is looked for.
_TEXT_SCALES, _TRIES = (1.0, 0.875, 0.75), 5
# So many times the size that a figure was made with are tried, where it cannot be read at that one.
_GROWTHS = (1.0, 1.25, 1.5, 2.0, 3.0)

# A signed axis is logarithmic where the largest value is so many times the median one.
_UNEVEN = 10

# Of figures that are asked for, inches to each side.
_LEAST_SIZE, _MOST_SIZE = 0.5, 100.0

STYLES = {"paper": Look(1, 1, 1), "talk": Look(1.5, 1.9, 1.8)}
_current: ContextVar[Look] = ContextVar("look", default=STYLES["paper"])


@contextmanager
def using(name: str) -> Iterator[None]:
    """Figures that are made meanwhile have this style: ``paper`` or ``talk``.

    Raises
    ------
    SpecError
        There is no such style.
    """
    if not isinstance(name, str) or name not in STYLES:
        raise SpecError(f"style: {registry.unknown(name, list(STYLES))}")
    token = _current.set(STYLES[name])
    try:
        yield
    finally:
        _current.reset(token)


def context() -> AbstractContextManager[None]:
    """The settings of a figure, while one is made or saved; the user's own come back after it."""
    look, settings = _current.get(), dict(_SETTINGS)
    for key in settings:
        if key in _RC and key.endswith("size") and key != "lines.markersize":
            settings[key] = _RC[key] * look.text
        elif key in _RC and key.endswith(("width", "markersize")):
            settings[key] = _RC[key] * look.lines
    return matplotlib.rc_context(settings)


def points(size: float) -> float:
    """A size of text in points, as the style has it."""
    return size * _current.get().text


def height(size: float, lines: int = 1) -> float:
    """The height of lines of text of this size, inches of a paper."""
    return 1.2 * lines * points(size) / 72 / _current.get().size


def folded(text: str, width: float, size: float = 8) -> str:
    """A text of this size in as many lines as it needs to be no wider than this, inches of a paper."""
    most, lines, characters = width * 72 * _current.get().size, [text], len(text)
    while characters > _SHORTEST and any(TextPath((0, 0), line, points(size)).get_extents().width > most for line in lines):
        characters -= 1
        lines = textwrap.wrap(text, characters)
    return "\n".join(lines)


def mark(size: float) -> float:
    """The size of a mark in points, as the style has it."""
    return size * _current.get().lines


def check_size(**sides: Any) -> None:
    """Refuse a width or height that is none; what is None is left to the figure.

    Raises
    ------
    SpecError
        It is no number, or out of bounds.
    """
    for key, value in sides.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (number and _LEAST_SIZE <= float(value) <= _MOST_SIZE):
            raise SpecError(f"{key}: {quoted(value)}; allowed: inches, from {_LEAST_SIZE:g} to {_MOST_SIZE:g}")


class SizeError(LocalDFAError):
    """A figure cannot be read at the size that is asked for."""


class Band(NamedTuple):
    """What a band of a figure reaches from and to: of which panel and curve, and at each x."""

    axes: Axes
    label: str
    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    color: str


class Figure(MatplotlibFigure):
    """A figure without pyplot, drawn with the settings it was made with, whoever draws it. Sizes in inches, of a paper.

    bands: those that `band` has drawn. A notebook shows it by itself.

    Where its size is changed, its legend is laid out anew, and axes get fewer ticks and smaller text, as far as they must.
    """

    def __init__(self, width: float, height: float) -> None:
        self._look = _current.get()
        self._explained: list[Line2D] = []
        self.bands: list[Band] = []
        self._made: _layout.Made | None = None
        self._settled: tuple[float, float] | None = None  # the size that it is laid out for, or is being
        super().__init__(figsize=(width * self._look.size, height * self._look.size), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.content("png", dpi=150)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        token = _current.set(self._look)
        try:
            with context():
                yield
        finally:
            _current.reset(token)

    def savefig(self, fname: Any, **options: Any) -> None:
        """As Matplotlib's."""
        # Matplotlib changes the resolution several times meanwhile, and sets the size each time: the first one lays out.
        self._settled = None
        with self._settings():
            super().savefig(fname, **options)

    def draw(self, renderer: Any) -> None:
        """As Matplotlib's."""
        with self._settings():
            if self.canvas.is_saving() and isinstance(self.get_layout_engine(), ConstrainedLayoutEngine):
                # Matplotlib draws into nothing before it saves, so that panels find their places, and then takes the engine
                # away. To lay out is enough for that, and takes half as long.
                _layout.lay_out(self)
                return
            super().draw(renderer)

    def set_size_inches(self, w: Any, h: float | None = None, forward: bool = True) -> None:
        """As Matplotlib's, but refused where the figure cannot be read at this size; it keeps its own then.

        Raises
        ------
        SizeError
            Text would be cut off, or panels cover each other; the message has a size that is large enough.
        """
        asked: tuple[float, float] = (w, h) if h is not None else tuple(w)
        before: tuple[float, float] = tuple(self.get_size_inches())
        if asked == before == self._settled:
            super().set_size_inches(*asked, forward)
            return
        self._made = made = self._made or _layout.Made(self)
        if self._fits(asked, forward):
            return
        # The size that the figure was made with, or, where long names do not fit even that, a larger one.
        larger = ((growth * made.size[0], growth * made.size[1]) for growth in _GROWTHS)
        large = next((size for size in larger if self._fits(_between(asked, size, 1.0), forward, _TEXT_SCALES[-1:])), None)
        if large is None:
            self._fits(before, forward)
            raise SizeError(
                f"the figure cannot be read at {asked[0]:g} × {asked[1]:g} inches, nor at {_GROWTHS[-1]:g} times its size"
            )
        low, high = 0.0, 1.0  # of the way from what is asked for to that one
        for _ in range(_TRIES):
            middle = (low + high) / 2
            enough = self._fits(_between(asked, large, middle), forward, _TEXT_SCALES[-1:])
            low, high = (low, middle) if enough else (middle, high)
        self._fits(before, forward)
        found = " × ".join(f"{math.ceil(10 * side) / 10:g}" for side in _between(asked, large, high))
        raise SizeError(
            f"the figure cannot be read at {asked[0]:g} × {asked[1]:g} inches, where its text would be cut off or its panels "
            f"cover each other; it can be at {found}"
        )

    def _fits(self, size: tuple[float, float], forward: bool, scales: Sequence[float] = _TEXT_SCALES) -> bool:
        """Take a size, with as much text as can be read there, and say whether all of it can."""
        assert self._made is not None
        super().set_size_inches(*size, forward)
        self._settled = size  # from here on, for what measures text may change the resolution as well
        with self._settings():
            for scale in scales:
                self._made.restore(scale)
                if self._explained:
                    self.explain(self._explained, _LEGEND_SIZES[0] * scale)
                if self._made.settle():
                    return True
        return False

    def fill(self, panel: Axes, rows: int) -> None:
        """Take the height at which images of fixed aspect fill their places; a panel that holds one, and rows of them."""
        with self._settings():
            _layout.lay_out(self)
        place, image = panel.get_position(original=True), panel.get_position()
        filled = image.height * place.width / image.width
        super().set_size_inches(self.get_figwidth(), self.get_figheight() * (1 + rows * (filled - place.height)))

    def explain(self, lines: Sequence[Line2D], largest: float = _LEGEND_SIZES[0]) -> None:
        """A legend of lines and their labels below the panels, in as many columns as the figure is wide.

        Where the panels would be left too little, the text is made smaller than the largest size, points, down to a limit.
        Labels that are wider than the figure are folded.
        """
        self._explained = list(lines)
        sizes = [size for size in _LEGEND_SIZES if size <= largest]
        measured = RendererAgg(1, 1, self.dpi)  # the canvas's own would be as large as the figure
        with self._settings():
            for size, columns in product(sizes, range(min(len(lines), _LEGEND_COLUMNS), 0, -1)):
                for before in list(self.legends):
                    before.remove()
                labels = [str(each.get_label()) for each in lines]
                if columns == 1:
                    handle = 1.5 * matplotlib.rcParams["legend.handlelength"] * points(size) / 72
                    widest = (self.get_figwidth() - handle) / self._look.size - _BESIDE
                    labels = [folded(label, max(widest, 0.5), size) for label in labels]
                found = self.legend(lines, labels, loc="outside lower center", ncols=columns, fontsize=points(size))
                box, pad = found.get_window_extent(measured), 2 * found.borderaxespad * points(size) / 72
                left = self.get_figheight() - box.height / self.dpi - pad
                if box.width / self.dpi + pad <= self.get_figwidth() and left >= _LEAST_PANELS * self._look.size:
                    break

    def content(self, form: str, origin: str = "", **options: Any) -> bytes:
        """The figure as a file: ``svg``, ``pdf`` or ``png``; the same bytes each time that it is drawn anew.

        origin: what the file shall say of where it comes from, among its metadata (see `summary.origin`).
        """
        stream = io.BytesIO()
        undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        said = {"Subject" if form == "pdf" else "Description": origin} if origin else {}
        self.savefig(stream, format=form, metadata={**undated, **said}, **options)
        return stream.getvalue()


def _between(small: tuple[float, float], large: tuple[float, float], part: float) -> tuple[float, float]:
    """A size on the way from one to another, in no direction smaller than the first."""
    width, height = (a + part * max(0.0, b - a) for a, b in zip(small, large, strict=True))
    return width, height


def line(position: int) -> dict[str, Any]:
    """Colour, dashes and marker of the condition at this place in the experiment; no two alike among the first 385."""
    return {
        "color": PALETTE[position % len(PALETTE)],
        "linestyle": _DASHES[position % len(_DASHES)],
        "marker": _MARKERS[position % len(_MARKERS)],
    }


def draw(axes: Axes, curves: dict[str, Curve], order: list[str]) -> dict[str, Line2D]:
    """A line and a band for each condition; `order` are all conditions of the experiment."""
    lines = {}
    for position, name in enumerate(order):
        if name not in curves:
            continue
        curve, look = curves[name], line(position)
        (lines[name],) = axes.plot(curve.x, curve.mean, label=name, markevery=_marked(curve.mean, position), zorder=3, **look)
        if curve.low != curve.high:
            band(axes, name, curve.x, curve.low, curve.high, look["color"])
    return lines


def band(axes: Axes, label: str, x: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> None:
    """A band behind the curve of this label, from low to high at each x."""
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
    figure = axes.get_figure()
    if isinstance(figure, Figure):
        figure.bands.append(Band(axes, label, x, low, high, colour))


def epoch_axis(axes: Axes, rows: Iterable[dict[str, Any]]) -> None:
    """An x axis from 0 to the last epoch in these rows of metrics."""
    end = max(1, *(row["epoch"] for row in rows))
    axes.set_xlim(-0.04 * end, 1.04 * end)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=6, integer=True))


def _marked(values: Sequence[float], position: int) -> list[int]:
    """Which points of a curve carry a marker.

    About six, shifted by condition so that curves on top of each other both show; and all that stand alone, where no
    line would be seen.
    """
    step = max(1, round(len(values) / 6))
    gap = [math.isnan(value) for value in (math.nan, *values, math.nan)]
    alone = {i for i in range(len(values)) if gap[i] and gap[i + 2]}
    return sorted(alone | set(range(position % step, len(values), step)))


def legend(drawn: Figure, lines: dict[str, Line2D]) -> None:
    """The conditions below the figure, away from the data."""
    drawn.explain(list(lines.values()))


def legend_height(names: Collection[str], width: float) -> float:
    """What `legend` takes of the height of a figure of this width, inches of a paper; called inside `context`."""
    tall = Figure(width, 1000)
    tall.explain([Line2D([], [], label=name) for name in names])
    return float(tall.legends[0].get_window_extent(RendererAgg(1, 1, tall.dpi)).height / tall.dpi / _current.get().size)


def letters(panels: Sequence[Axes]) -> None:
    """a, b, c … at the upper left of the panels of a figure that has more than one."""
    if len(panels) > 1:
        for i, axes in enumerate(panels):
            axes.set_title(letter(i), loc="left", fontweight="bold", fontsize=points(9))


def letter(i: int) -> str:
    """The letter of a panel, by its place from 0."""
    first, last = divmod(i, 26)
    return (chr(96 + first) if first else "") + chr(97 + last)


def powers(axis: Axis) -> None:
    """Ticks of a logarithmic axis as 10⁻³ or 2×10⁻³, without Matplotlib's mathematics."""
    axis.set_major_formatter(_Powers())
    axis.set_minor_formatter(_Powers())


class _Powers(ticker.LogFormatterSciNotation):
    """Matplotlib's choice of what is labelled, in characters."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos).replace(r"$\mathdefault{", "").replace(r"\times", "×").removesuffix("}$")
        return re.sub(r"\^\{(.*?)\}", lambda exponent: exponent[1].translate(_RAISED), text)


def error_axis(axes: Axes, values: Iterable[float]) -> None:
    """A y axis for these values, none below 0: logarithmic where they differ much, with a place for 0 at the bottom.

    Ticks read 0.1, 2, 50, not powers of ten.
    """
    values = [value for value in values if not math.isnan(value)]
    positive = [value for value in values if value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    if high < 4 * low:
        axes.set_ylim(0, 1.1 * high)
        return
    if len(positive) < len(values):
        axes.set_yscale("symlog", linthresh=low, linscale=0.5)
        axes.set_ylim(-low / 4, 1.3 * high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, 1.3 * high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 200 * low else (1,)
    ticks = [step * 10.0**decade for decade in decades[:: math.ceil(len(decades) / 7)] for step in steps]
    ticks = [0.0] * (len(positive) < len(values)) + [tick for tick in ticks if low / 1.3 <= tick <= 1.3 * high]
    axes.yaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def signed_axis(axes: Axes, values: Iterable[float]) -> None:
    """A y axis for values of either sign; of very different size, linear about 0 and logarithmic beyond their median size."""
    sizes = sorted(abs(value) for value in values if math.isfinite(value) and value != 0)
    if not sizes or sizes[-1] < _UNEVEN * sizes[len(sizes) // 2]:
        return
    first, last = (round(math.log10(size)) for size in (sizes[len(sizes) // 2], sizes[-1]))
    axes.set_yscale("symlog", linthresh=10.0**first, linscale=0.7)
    decades = range(first, last + 1)[:: math.ceil((last + 1 - first) / 3)]
    beyond = [step * 10.0**k for k in decades for step in ((1, 3) if last - first < 2 else (1,))]
    axes.yaxis.set_major_locator(ticker.FixedLocator([0.0, *beyond, *(-tick for tick in beyond)]))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


class Names(ticker.Formatter):
    """The labels of an axis that has names in the place of numbers; names: whole, by place; shown: as they are written."""

    def __init__(self, names: Sequence[str], shown: Sequence[str]) -> None:
        self.names, self._shown = list(names), list(shown)

    def __call__(self, x: float, pos: int | None = None) -> str:
        place = round(x)
        return self._shown[place] if place == x and 0 <= place < len(self._shown) else ""


def name_axis(axis: Axis, names: Sequence[str], shown: Sequence[str]) -> None:
    """An axis of names, a tick for each, from 0; see `Names`."""
    axis.set_major_locator(ticker.FixedLocator(list(range(len(names)))))
    axis.set_major_formatter(Names(names, shown))
    axis.get_major_ticks(len(names))  # made here, their text is of this style, and no mathematics


def number_axis(axes: Axes, n: int) -> None:
    """A y axis of n neurons by number, 0 at the top."""
    axes.set_ylim(n - 0.4, -0.6)
    steps = ticker.MaxNLocator(5, steps=[1, 2, 5, 10], integer=True)
    axes.yaxis.set_major_locator(ticker.FixedLocator([tick for tick in steps.tick_values(0, max(1, n - 1)) if 0 <= tick < n]))


def count_axis(axes: Axes, which: str, values: Iterable[float]) -> None:
    """An x or y axis for counts: logarithmic where they differ much, else from 0; ticks read 20 M, not 2e7."""
    positive = [value for value in values if value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    axis = getattr(axes, f"{which}axis")
    if high < 4 * low:
        axes.set(**{f"{which}lim": (0, 1.1 * high)})
    else:
        axes.set(**{f"{which}scale": "log", f"{which}lim": (low / 1.3, 1.3 * high)})
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high < 12 * low else (1, 3) if high < 100 * low else (1,)))
        axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.EngFormatter())
