"""Rules and what conditions vary besides them, as a table of colours: test error, and how near signals are to the gradient.

Reads ``test_error``, of a regression ``test_rmse``, and ``signal_cosine`` of the last row of the metrics. A condition that is
named RULE-WHAT, its own rule first, stands in the column of the rule and in the row WHAT.
"""

from statistics import fmean
from typing import Any

import numpy as np

from localdfa.analysis import _heat, _many, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

TITLE, SECTION = "Rules and what varies besides", "results"

# The row of conditions that are named like their rule.
_PLAIN = "–"


def caption(run: Run) -> str:
    """What to see, and what the cells are."""
    rows, _, _ = _places(run)
    return (
        f"Conditions by rule and by what else they vary, after training. a, Test {summary.error(run).name}. b, The cosine "
        "between the signal that comes to a hidden layer and the gradient of the loss there, which back-propagation finds in "
        "the same weights, mean over samples and hidden layers: 1 under BP, 0 where both have nothing in common. Light is "
        "better. "
        f"{summary.means(run)}{_many.said(len(rows), what='rows')}"
    )


def figure(run: Run) -> style.Figure:
    """Two maps side by side, a column for each rule, a row for each variant.

    Raises
    ------
    RunError
        Nothing is measured yet; or there are not two rules, and two variants of them.
    """
    measured, what = summary.measured(run), summary.error(run)
    for key in (f"test_{what.key}", "signal_cosine"):
        if not any(key in row for row in measured):
            raise RunError(f"this run has no measure {key!r}")
    rows, rules, places = _places(run)
    rows = rows[: _many.MOST]
    values, last = np.full((2, len(rows), len(rules)), np.nan), summary.ends(run)
    for name, (variant, rule) in places.items():
        if variant in rows:
            ends = last[name]
            for panel, found in enumerate(([row.get(f"test_{what.key}") for row in ends], [_cosine(row) for row in ends])):
                known = [value for value in found if value is not None]
                values[panel, rows.index(variant), rules.index(rule)] = fmean(known) if known else np.nan
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 0.9 + max(1.5, 0.24 * len(rows)))
        panels = list(drawn.subplots(1, 2, sharey=True))
        errors = values[0][np.isfinite(values[0])]
        spread = (float(errors.min()), float(errors.max())) if errors.size else (0.0, 1.0)
        _heat.draw(panels[0], values[0], f"Test {what.label}", style.UNSIGNED, spread)
        _heat.draw(panels[1], values[1], "Cosine to gradient", f"{style.UNSIGNED}_r", (0.0, 1.0))
        for axes in panels:
            axes.set_xticks(range(len(rules)), rules)
            axes.set_yticks(range(len(rows)), [style.folded(each, 1.2, 7) for each in rows])
            axes.set(xlabel="Rule")
        panels[0].invert_yaxis()
        panels[1].tick_params(labelleft=False)
        style.letters(panels)
    return drawn


def _cosine(row: dict[str, Any]) -> float | None:
    """The mean over hidden layers."""
    known = [value for value in row.get("signal_cosine") or () if value is not None]
    return fmean(known) if known else None


def _places(run: Run) -> tuple[list[str], list[str], dict[str, tuple[str, str]]]:
    """Variants, rules, and of each condition both, in the order of the experiment."""
    places = dict[str, tuple[str, str]]()
    for name, setting in run.settings.items():
        rule = setting.rule
        named_so = name.startswith(f"{rule}-")
        place = _PLAIN if name == rule else name.removeprefix(f"{rule}-") if named_so else name, rule
        if place in places.values():
            other = next(each for each, own in places.items() if own == place)
            raise RunError(f"{run.folder}: in the figure grid {other} and {name} would have one cell, {place[0]} by {rule}")
        places[name] = place
    rows, rules = (list(dict.fromkeys(place[axis] for place in places.values())) for axis in (0, 1))
    shared = [row for row in rows if len({rule for variant, rule in places.values() if variant == row}) > 1]
    if len(shared) < 2:
        raise RunError(
            f"{run.folder}: the figure grid needs two rules or more, and conditions named RULE-WHAT of two kinds or more, as "
            f"dfa-relu and bp-tanh; localdfa paper --of launay2019 grid has them"
        )
    return rows, rules, places
