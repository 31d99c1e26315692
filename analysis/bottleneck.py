"""A bottleneck: how near signals are to the gradient, and the test error, against the number of neurons that it lets pass.

Reads ``signal_cosine``, ``signal_cosine_sd`` and ``test_error``, of a regression ``test_rmse``, of the last row of the metrics,
and ``feedback.bottleneck`` of the spec. A condition without one counts as one that lets all neurons of the layer pass.
"""

from statistics import fmean
from typing import Any, NamedTuple

from matplotlib import ticker

from localdfa.analysis import _layers, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

TITLE, SECTION = "Signals through a bottleneck", "rule"


class _Sweep(NamedTuple):
    """The layer of the bottleneck, from 0; for each rule the conditions by the neurons that pass, fewest first; and those
    without such a layer."""

    layer: int
    names: dict[str, dict[int, str]]
    others: list[str]

    @property
    def drawn(self) -> list[str]:
        """The conditions that are drawn."""
        return [name for of_rule in self.names.values() for name in of_rule.values()]


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    found, what = _sweep(run), summary.error(run).name
    panels = len(_layers.some(_layers.depth(run, found.drawn)))
    cosines = "a" if panels == 1 else f"a to {chr(96 + panels)}"
    key = str(found.layer + 1)
    single = [
        rule for rule, names in found.names.items()
        if not any(key in run.settings[name].feedback.bottleneck for name in names.values())
    ]  # fmt: skip
    text = (
        f"At the end of training, against the number of neurons of hidden layer {found.layer + 1} that the signal reaches: "
        "these alone learn and, where signals come down from layer to layer, pass them on. To the right it reaches all. "
        f"{cosines}, The cosine between the signal that comes to a hidden layer, before its own bottleneck, and the gradient "
        "of the loss there, which back-propagation finds in the same weights: mean over samples, bands are ± one standard "
        f"deviation over them. {chr(97 + panels)}, Test {what}. "
    )
    if single:
        text += f"Without a bottleneck are: {', '.join(single)}. "
    if found.others:
        text += f"Not drawn, as there is no such layer: {', '.join(found.others)}. "
    number = summary.several(run)
    if not number:
        return f"{text}One seed."
    return f"{text}Lines are means over {number}; in the last panel bands reach from the lowest to the highest seed."


def figure(run: Run) -> style.Figure:
    """A panel of the cosine for each hidden layer, and one of the error; a line for each rule.

    Raises
    ------
    RunError
        Nothing is measured yet; or no conditions differ in the bottleneck of one layer.
    """
    measured, what = summary.measured(run), summary.error(run)
    error = f"test_{what.key}"
    for key in ("signal_cosine", error):
        if not any(key in row for row in measured):
            raise RunError(f"this run has no measure {key!r}")
    found, last = _sweep(run), summary.ends(run)
    shown = _layers.some(_layers.depth(run, found.drawn))
    rules = list(found.names)
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 2.1 + style.legend_height(rules, style.TWO_COLUMNS))
        panels = list(drawn.subplots(1, len(shown) + 1, sharex=True))
        for axes in panels[1:-1]:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
        lines: dict[str, style.Line2D] = {}
        for axes, layer in zip(panels, shown, strict=False):
            axes.axhline(0, **style.LEVEL)
            curves = {rule: _cosines(last, names, layer) for rule, names in found.names.items()}
            lines |= style.draw(axes, {rule: curve for rule, curve in curves.items() if curve.x}, rules)
            axes.set_title(style.folded(f"Hidden layer {layer + 1}", style.TWO_COLUMNS / len(panels) - 0.55))
        curves = {rule: _errors(last, names, error) for rule, names in found.names.items()}
        lines |= style.draw(panels[-1], {rule: curve for rule, curve in curves.items() if curve.x}, rules)
        panels[0].set_ylabel("Cosine to gradient")
        panels[0].yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        panels[-1].set_ylabel(f"Test {what.label}")
        panels[-1].yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        for axes in panels:
            style.count_axis(axes, "x", [number for names in found.names.values() for number in names])
            axes.set_xlabel(style.folded("Neurons reached (count)", 0.85 * style.TWO_COLUMNS / len(panels)))
        style.letters(panels)
        style.legend(drawn, {rule: lines[rule] for rule in rules if rule in lines})
    return drawn


def _sweep(run: Run) -> _Sweep:
    """The conditions by rule and by the neurons that pass."""
    layers = {layer for setting in run.settings.values() for layer in setting.feedback.bottleneck}
    if len(layers) != 1:
        raise RunError(
            f"{run.folder}: the figure bottleneck needs conditions with feedback.bottleneck of one layer, and there are "
            f"{f'those of {len(layers)} layers' if layers else 'none'}; localdfa run digits-bottleneck has them"
        )
    (layer,) = layers
    names: dict[str, dict[int, str]] = {}
    others = []
    for name, setting in run.settings.items():
        hidden = setting.network.hidden
        width = hidden[int(layer) - 1] if int(layer) <= len(hidden) else None
        if not isinstance(width, int):
            others.append(name)
            continue
        of_rule = names.setdefault(setting.rule, {})
        other = of_rule.setdefault(setting.feedback.bottleneck.get(layer, width), name)
        if other != name:
            raise RunError(
                f"{run.folder}: the figure bottleneck joins conditions of one rule by feedback.bottleneck, and {other} and "
                f"{name} do not differ in it"
            )
    return _Sweep(int(layer) - 1, {rule: dict(sorted(of_rule.items())) for rule, of_rule in names.items()}, others)


def _cosines(last: dict[str, list[dict[str, Any]]], names: dict[int, str], layer: int) -> summary.Curve:
    """Of one rule and layer, by the neurons that pass: means over seeds, and the deviation over samples to both sides."""
    curve = summary.Curve([], [], [], [])
    for number, name in names.items():
        pairs = [(row.get("signal_cosine") or (), row.get("signal_cosine_sd") or ()) for row in last[name]]
        known = [(c[layer], sd[layer]) for c, sd in pairs if layer < min(len(c), len(sd)) and None not in (c[layer], sd[layer])]
        if known:
            mean, deviation = fmean(c for c, _ in known), fmean(sd for _, sd in known)
            for values, value in zip(curve, (number, mean, mean - deviation, mean + deviation), strict=True):
                values.append(value)
    return curve


def _errors(last: dict[str, list[dict[str, Any]]], names: dict[int, str], key: str) -> summary.Curve:
    """Of one rule, by the neurons that pass, over seeds."""
    curve = summary.Curve([], [], [], [])
    for number, name in names.items():
        ends = [row[key] for row in last[name] if row.get(key) is not None]
        if ends:
            for values, value in zip(curve, (number, fmean(ends), min(ends), max(ends)), strict=True):
                values.append(value)
    return curve
