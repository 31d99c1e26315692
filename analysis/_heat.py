"""Maps: an image of values, each printed in its cell, with a bar of colours."""

import numpy as np

from localdfa.analysis import _layout, style

# What is printed in a cell without a value.
NONE = "–"
# Values from here on are printed without an exponent.
_WHOLE = 999.5


def draw(axes: style.Axes, values: np.ndarray, label: str, colours: str, limits: tuple[float, float]) -> None:
    """Values (rows, columns), the first row at the bottom unless the axis is turned; a cell without a value is grey.

    label: of the bar; colours: the name of a colour map of Matplotlib, whose ends the limits are.
    """
    low, high = limits
    shown = axes.imshow(values, cmap=colours, vmin=low, vmax=high, origin="lower", aspect="auto", interpolation="nearest")
    axes.set_facecolor("#d9d9d9")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        text = NONE if np.isnan(value) else f"{value:.0f}" if abs(value) >= _WHOLE else f"{value:#.3g}".rstrip(".")
        dark = not np.isnan(value) and sum(shown.to_rgba(value)[:3]) < 1.5
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black", gid=_layout.CELL)
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(shown, ax=axes).set_label(label)
