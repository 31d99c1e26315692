"""Held-out views of a scene as each condition renders them after training, beside what the camera saw.

Reads the images that a finished run keeps.
"""

import numpy as np

from localdfa.analysis import _kept, _many, style, summary
from localdfa.record import Run

TITLE, SECTION = "Views that are rendered", "learning"

# So many views are drawn, evenly spaced, and of so many conditions.
_VIEWS, _CONDITIONS = 4, 6


def caption(run: Run) -> str:
    """What to see."""
    kept = _kept.of_modules(run, "views", "image")
    seeds = ", of the first seed" if summary.several(run, "outcome") else ""
    return (
        "Views that were held out from training: above as the camera saw them, below as each condition renders them after "
        f"training{seeds}, each with its own PSNR, −10 log₁₀ of the mean squared difference."
        f"{_many.said(len(kept), _CONDITIONS)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of images as they were seen, and one for each condition.

    Raises
    ------
    RunError
        No condition and seed is finished; or the data are no views.
    """
    outcomes = dict(list(_kept.of_modules(run, "views", "image").items())[:_CONDITIONS])
    true = next(iter(outcomes.values()))["true"]
    shown = np.unique(np.linspace(0, len(true) - 1, _VIEWS).round().astype(int))
    rows = {"seen": true, **{name: outcome["image"] for name, outcome in outcomes.items()}}
    with style.context():
        width = style.TWO_COLUMNS
        drawn = style.Figure(width, (width / len(shown)) * len(rows) * true.shape[1] / true.shape[2] + 0.2)
        panels = drawn.subplots(len(rows), len(shown), squeeze=False)
        for abreast, (name, images) in zip(panels, rows.items(), strict=True):
            for axes, view in zip(abreast, shown, strict=True):
                axes.imshow(np.clip(images[view], 0, 1), interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.grid(False)
                axes.spines[:].set_visible(False)
                if name != "seen":
                    axes.set_xlabel(f"{_psnr(images[view], true[view]):.1f} dB")
            abreast[0].set_ylabel(style.folded(name, 1.2))
    return drawn


def _psnr(image: np.ndarray, true: np.ndarray) -> float:
    """−10 log10 of the mean squared difference, of colours in [0, 1], in dB."""
    return -10 * float(np.log10(np.mean(np.square(image.astype(np.float64) - true))))
