"""The metrics of a run, aggregated over seeds: curves for the figures and the table of results. Nothing here draws."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from localdfa import outputs
from localdfa.errors import RunError, resuming
from localdfa.record import KEPT, Job, Run, ending, info_of

# Parts of the data, as headings have them.
_PARTS = {"train": "train", "valid": "validation", "test": "test"}
# Headings of the columns that are words.
NAMES = ("condition", "rule", "feedback")
PER_LAYER = ("angle_to_dfa", "angle_to_bp")


class Curve(NamedTuple):
    """One measure of one condition against epochs, or whatever x is.

    At each x the mean, lowest and highest over the seeds in which it is defined; NaN where it is in none.
    """

    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def _predictions() -> dict[str, tuple[str, outputs.Measure]]:
    """Columns of the metrics in which predictions are measured, with their headings and what they measure."""
    return {f"{part}_{m.key}": (f"{said} {m.label}", m) for m in outputs.measures().values() for part, said in _PARTS.items()}


def _measures() -> dict[str, str]:
    """Columns of the table that have a mean and a standard deviation over seeds, with their headings."""
    others = {"angle_to_dfa": "angle to DFA (°)", "angle_to_bp": "angle to BP (°)", "events": "events", "seconds": "seconds"}
    return {**{key: said for key, (said, _) in _predictions().items()}, **others}


def _headings() -> dict[str, str]:
    """All columns of the table."""
    return {**{name: name for name in (*NAMES, "seeds", "epochs")}, "kept_epoch": "kept epoch", **_measures()}


def heading(key: str) -> str:
    """The heading of the column of the table that has this key."""
    return _headings()[key]


def error(run: Run) -> outputs.Measure:
    """What figures show as the error of a run's predictions, 0 at best: the first measure of its outputs, all of one kind."""
    found: outputs.Measure = next(iter(run.settings.values())).output.measures[0]
    return found


def measured(run: Run) -> list[dict[str, Any]]:
    """The rows of metrics of a run.

    Raises
    ------
    RunError
        There are none yet.
    """
    rows = run.metrics
    if not rows:
        raise RunError(f"{run.folder}: nothing is measured yet; go on with: {resuming(run.folder)}")
    return rows


def curves(
    rows: Iterable[dict[str, Any]], key: str, layer: int | None = None, convert: Callable[[float], float] = float
) -> dict[str, Curve]:
    """A measure against epochs, by condition.

    Parameters
    ----------
    rows: of the metrics.
    key: a column of the metrics.
    layer: the hidden layer, from 0, of a column that has a value for each; conditions without that layer are left out.
    convert: what to draw of a value.

    Raises
    ------
    RunError
        No row has this column.
    """
    found: dict[str, dict[int, list[float]]] = {}
    known = False
    for row in rows:
        if key not in row:
            continue
        known, value = True, row[key]
        if layer is not None:
            if layer >= len(value or ()):
                continue
            value = value[layer]
        at = found.setdefault(row["condition"], {}).setdefault(row["epoch"], [])
        if value is not None:
            at.append(convert(value))
    if not known:
        raise RunError(f"this run has no measure {key!r}")
    return {name: joined(by_epoch) for name, by_epoch in found.items()}


def joined(at: dict[Any, list[float]]) -> Curve:
    """The curve of all values at each x, in the order of x."""
    x = sorted(at)
    values = [at[each] or [math.nan] for each in x]
    return Curve(x, [fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values])


def spread(x: Iterable[float], seeds: Iterable[Iterable[float]]) -> Curve:
    """The curve of values (seeds, x); those that are NaN are left out."""
    columns = zip(*seeds, strict=True)
    return joined({at: [float(v) for v in column if not math.isnan(v)] for at, column in zip(x, columns, strict=True)})


def shares(samples: Sequence[np.ndarray], edges: np.ndarray) -> Curve:
    """How many percent of each seed's values lie in each bin, at its centre, with the spread over seeds."""
    heights = [100 * np.histogram(each, edges)[0] / each.size for each in samples]
    return spread((edges[1:] + edges[:-1]) / 2, heights)


def origin(*runs: Run) -> str:
    """Where figures of runs come from, a line for each: its name, conditions, seeds, spec, data, revision and versions."""
    by_folder: dict[Path, list[Job]] = {}
    for job in (job for run in runs for job in run.jobs):
        by_folder.setdefault(job.run or job.folder, []).append(job)
    return "\n".join(_origin(info_of(folder), jobs) for folder, jobs in by_folder.items())


def _origin(info: dict[str, Any], jobs: list[Job]) -> str:
    conditions, seeds = dict.fromkeys(job.condition for job in jobs), dict.fromkeys(str(job.seed) for job in jobs)
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    parts = [
        f"{info['name']}: conditions {' '.join(conditions)}",
        f"seeds {' '.join(seeds)}",
        f"SHA-256 of the spec {info['spec']}, of the data {info.get('data', 'unknown')}",
        f"revision {info['git_revision']}",
        versions,
        info["platform"],
        info["started"],
    ]
    return "; ".join(parts)


def several(run: Run, record: str | None = None) -> str:
    """How many seeds of a condition a figure shows, as ``5 seeds`` or ``1 to 2 seeds``; empty where it is one of each.

    Of a run that is not finished, these are fewer than there are to be. record: which those keep that are shown; by default
    they are those of which something is measured.
    """
    if record is not None:
        return _several(job for job in run.jobs if job.keeps(record))
    return _several(job for job, rows in run.rows_by_job.items() if rows)


def _several(jobs: Iterable[Job]) -> str:
    """`several`, of the trainings that are shown."""
    numbers = sorted({*Counter(job.condition for job in jobs).values()})
    if numbers in ([], [1]):
        return ""
    return f"{numbers[0]} seeds" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def means(run: Run) -> str:
    """How many seeds a figure without bands shows, as a sentence of its caption."""
    number = several(run)
    return f"Means over {number}." if number else "One seed."


def seeds(run: Run, record: str | None = None) -> str:
    """How many seeds a figure shows, as a sentence of its caption; record: as of `several`."""
    return _with_bands(several(run, record))


def _with_bands(number: str) -> str:
    if not number:
        return "One seed, so there are no bands."
    return f"Lines are means over {number}, bands reach from the lowest to the highest seed."


def band(run: Run) -> str:
    """What lines and bands of a figure over epochs are, as sentences of its caption."""
    measured = {job: rows for job, rows in run.rows_by_job.items() if rows}
    text, lengths = _with_bands(_several(measured)), dict[str, set[int]]()
    for job, rows in measured.items():
        lengths.setdefault(job.condition, set()).add(rows[-1]["epoch"])
    if any(len(each) > 1 for each in lengths.values()):
        text += " Where seeds trained for different numbers of epochs, each epoch shows those that reached it."
    return text


def labels(runs: Sequence[Run]) -> list[str]:
    """What tells several runs apart: the last parts of their paths; empty for a single run."""
    if len(runs) == 1:
        return [""]
    paths = [run.folder.resolve().parts for run in runs]
    needed = next((n for n in range(1, max(map(len, paths))) if len({path[-n:] for path in paths}) == len(paths)), 1)
    return ["/".join(path[-needed:]) for path in paths]


def rows(run: Run) -> list[dict[str, Any]]:
    """The table of results: one row a condition, in the order of the experiment; also of a run that is not finished.

    ``condition``, ``neuron``;
    ``rule`` and ``feedback``, joined by → where stages differ, with those of single layers in brackets;
    ``seeds``, how many are measured so far, and ``planned``, how many the experiment has;
    ``epochs``, fewest and most that a seed has trained, or None;
    ``kept_epoch``, the first and the last whose weights a seed ends with, or None where no seed has gone back to earlier ones;
    and for each measure its mean over seeds with the weights that training ends with, ``NAME``, and its standard deviation,
    ``NAME_sd``;
    of a search ``searched``, the values of the trial by key.

    Angles, in degrees, are means over hidden layers first, then over seeds. A mean is None where nothing is defined, a
    deviation (n − 1) with fewer than two values. Errors are in percent, RMSE in the unit of the targets; ``events`` and
    ``seconds`` are those of the whole training.
    """
    searched = [] if run.search is None else [*run.search[0].space]
    return [{**_row(run, name, found), "searched": run.values(name, searched)} for name, found in ends(run).items()]


def ends(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Of each condition the rows of metrics of the weights that its seeds end with, so far; see `Job.last`."""
    last: dict[str, list[dict[str, Any]]] = {name: [] for name in run.settings}
    for job, found in run.rows_by_job.items():
        if row := ending(found):
            last[job.condition].append(row)
    return last


def _row(run: Run, name: str, last: list[dict[str, Any]]) -> dict[str, Any]:
    setting = run.settings[name]
    epochs, kept = [row["epoch"] for row in last], [row[KEPT] for row in last]
    row: dict[str, Any] = {
        "condition": name,
        "neuron": setting.computed_by,
        "rule": _arrows(_by_layer(stage, str, setting.rule_of(stage)) for stage in setting.stage),
        "feedback": _arrows(_by_layer(stage, setting.pathway_of, setting.rule_of(stage)) for stage in setting.stage),
        "seeds": len(last),
        "planned": len(run.experiment.seeds),
        "epochs": (min(epochs), max(epochs)) if epochs else None,
        "kept_epoch": (min(kept), max(kept)) if kept != epochs else None,
    }
    for key in _measures():
        values = [value for value in (_value(entry, key) for entry in last) if value is not None]
        row[key] = fmean(values) if values else None
        row[f"{key}_sd"] = stdev(values) if len(values) > 1 else None
    return row


def _arrows(names: Iterable[str]) -> str:
    return " → ".join(name for name, _ in groupby(names))


def _by_layer(stage: Any, said: Callable[[str], str], rule: str) -> str:
    """The rule of a stage, or what is said of it, and of layers that have another one, as bp (layer 1: dfa)."""
    own = ", ".join(f"layer {layer}: {said(stage.layer_rules[layer])}" for layer in sorted(stage.layer_rules, key=int))
    return f"{said(rule)} ({own})" if own else said(rule)


def _value(row: dict[str, Any], key: str) -> float | None:
    if key not in PER_LAYER:
        return row.get(key)
    defined = [angle for angle in row.get(key) or [] if angle is not None]
    return fmean(defined) if defined else None


def cells(table: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The table as text, a dict from heading to cell for each row; columns without any value are left out."""
    optional = [key for key in ("kept_epoch", *_measures()) if all(row[key] is None for row in table)]
    shown = {key: head for key, head in _headings().items() if key not in optional}
    return [
        {"condition": row["condition"], **_searched(row), **{head: _text(row, key) for key, head in shown.items()}}
        for row in table
    ]


def _searched(row: dict[str, Any]) -> dict[str, str]:
    """The columns of what is searched: values by the last part of their keys, or where two have the same, by the whole."""
    ends = [key.rpartition(".")[2] for key in row["searched"]]
    return {
        end if ends.count(end) == 1 else key: value if isinstance(value, str) else json.dumps(value)
        for end, (key, value) in zip(ends, row["searched"].items(), strict=True)
    }


def sortable(table: list[dict[str, Any]]) -> list[dict[str, tuple[str, str]]]:
    """As `cells`, each cell with what to sort it by: a number where it has one, else its text."""
    found = []
    for row, texts in zip(table, cells(table), strict=True):
        values = {heading: row[key] for key, heading in _headings().items() if heading in texts}
        values = {heading: v[-1] if isinstance(v, tuple) else v for heading, v in values.items()} | _searched(row)
        found.append(
            {heading: (text, "" if values[heading] is None else str(values[heading])) for heading, text in texts.items()}
        )
    return found


def _text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if value is None:
        return "–"
    if key == "seeds":
        return str(value) if value == row["planned"] else f"{value} of {row['planned']}"
    if key in ("epochs", "kept_epoch"):
        return str(value[0]) if value[0] == value[1] else f"{value[0]}–{value[1]}"
    if key not in _measures():
        return str(value)
    spread = row[f"{key}_sd"]
    if key == "events":
        return _big(value)
    if key in _predictions():
        return _predictions()[key][1].written(value, spread)
    if key in PER_LAYER and value < 1e-3:
        return "< 0.001"
    decimals = 3 if key in PER_LAYER and value < 1 else 1
    return f"{value:.{decimals}f}" + ("" if spread is None else f" ± {spread:.{decimals}f}")


def _big(value: float) -> str:
    """A count with its unit, as 17.2 M."""
    size, unit = next(((s, u) for s, u in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")) if value >= s), (1, ""))
    return f"{value / size:.{1 if unit else 0}f}{unit}"
