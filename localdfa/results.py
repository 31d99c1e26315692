"""A run as a script or notebook has it: its tables and figures, and its networks, which predict what they have not seen."""

import html
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from localdfa import export, interchange, record, recording, samples, trained
from localdfa.core import blas
from localdfa.data import Source, given
from localdfa.engines import engine
from localdfa.errors import DataError, RunError, SpecError
from localdfa.inputs.trains import implausible
from localdfa.spec import Experiment

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from torch import nn

    from localdfa.analysis.style import Figure

# What a run has for the process that trains it, which completion leaves out.
_OF_TRAINING = (
    "began_from", "check_unchanged", "entries", "grow", "note", "note_health", "note_not_kept", "note_trained", "update_info",
    "write_best",
)  # fmt: skip


class Run(record.Run):
    """A run directory, open for reading: what `localdfa.run` returns, and `localdfa.open_run` opens.

    Attributes
    ----------
    folder : Path
        Where it lies.
    experiment : Experiment
        The resolved spec.
    settings : dict
        Of each condition its tables, with every default.
    status, info, summary : str, dict, dict
        How it ended; run.json; summary.json.
    jobs : list of Job
        One for each condition and seed, with ``metrics``, rows of one epoch each, and what the spec has recorded, as
        ``job.weights["W1"]``, arrays by name.

    Examples
    --------
    >>> import localdfa
    >>> tables = {"network": {"hidden": [32]}, "stage": [{"epochs": 10}]}
    >>> run = localdfa.run(tables, "runs/mine", progress=False)
    >>> run.table()[["rule", "epochs", "test_error"]].round(1).to_dict("list")
    {'rule': ['local'], 'epochs': [10], 'test_error': [5.3]}
    >>> len(run.frame())
    11
    >>> drawn = run.plot("angles", width=3.4, height=6)
    >>> drawn.savefig("angles.pdf")
    >>> run.figure_data("errors").query("series == 'local'").y_label.unique().tolist()
    ['Training error (%)', 'Test error (%)']
    >>> from sklearn.datasets import load_digits
    >>> x, y = load_digits(return_X_y=True)
    >>> run.predict(x[:5] / 16)
    array([0, 1, 2, 3, 4])
    >>> localdfa.open_run("runs/mine").status
    'finished'
    """

    def __init__(self, folder: str | Path, allow_models: bool = False, data: Any = None) -> None:
        """Open a run directory.

        Parameters
        ----------
        folder : str or Path
        allow_models : bool
            Whether Python files of models that it brings may be executed (see `localdfa.record.Run`).
        data : tuple, dict, optional
            The arrays that it has learned from, as `localdfa.run` takes them; read by `predict` where inputs are standardised
            or whitened as these were, and where a module is built for them. Others than those are refused then.

        Raises
        ------
        RunError, SpecError
            There is no run, it cannot be read, or it needs models that are not there, not allowed, or not those it began with;
            or it learns from no arrays, and some are given.
        """
        super().__init__(folder, allow_models)
        if data is not None and self.experiment.data != given.NAME:
            raise RunError(f"{self.folder}: learns from {self.experiment.data}; allowed: no arrays beside it")
        self._data = given_to(self.experiment, data)
        self._data_are_known = False  # to be those that it began with

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _OF_TRAINING]

    def _repr_html_(self) -> str:
        """What a notebook shows: the title, where the run lies and how it stands, the table, and the curves of errors."""
        from localdfa.analysis import report, summary

        title = self.experiment.title or self.info["name"]
        shown = [f"<p><b>{html.escape(title)}</b><br>{html.escape(f'{self.folder}: {self.status}')}</p>"]
        cells = summary.cells(summary.rows(self))
        rows = ["<tr>" + "".join(f"<th>{html.escape(heading)}</th>" for heading in cells[0]) + "</tr>"]
        rows += ["<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row.values()) + "</tr>" for row in cells]
        shown.append(f"<table>{''.join(rows)}</table>")
        try:
            picture = b64encode(report.drawn(self, "errors").content("svg")).decode()
            shown.append(f'<img alt="errors against epochs" src="data:image/svg+xml;base64,{picture}">')
        except RunError:  # nothing is measured yet
            pass
        return "".join(shown)

    def table(self) -> "pandas.DataFrame":
        """The table of results as a `pandas.DataFrame`: a row for each condition, by its name.

        Columns are ``rule``, ``feedback``, ``seeds``, ``epochs``, and for each measure its mean over seeds and, as ``NAME_sd``,
        its standard deviation: errors in percent, RMSE in the unit of the targets, angles in degrees and averaged over layers,
        seconds. The keys in which settings differ, as ``phases.beta``, come last. What no condition has is left out.

        Raises
        ------
        LocalDFAError
            pandas is not installed.
        """
        from localdfa.analysis import summary

        rows, apart = summary.rows(self), export.settings(self)
        for row in rows:
            row |= apart[row["condition"]]
            del row["searched"]  # is among them
            for key in ("epochs", "kept_epoch"):
                row[key] = None if row[key] is None else row[key][1]
        found = export.library("pandas", "analysis").DataFrame(rows).set_index("condition")
        return found.dropna(axis="columns", how="all")

    def plot(
        self, name: str, ax: "Axes | np.ndarray | None" = None, *, panel: str | None = None, width: float | None = None,
        height: float | None = None, style: Literal["paper", "talk"] = "paper", trial: int | None = None,
        neuron: int | None = None, conditions: Sequence[str] | None = None,
    ) -> "Figure | Axes | np.ndarray":  # fmt: skip
        """A figure of the run, or its panels on axes of your own.

        Parameters
        ----------
        name : str
            One of those that ``localdfa list`` names, as ``"angles"``.
        ax : matplotlib.axes.Axes, or array of them, optional
            Where one panel is drawn: its curves, which have labels for a legend, with its scales, bounds and labels. An array,
            as ``plt.subplots`` gives it, has as many axes as the figure has panels, and gets them in their order.
        panel : str, optional
            Which panel, by its letter; the first if left out. It goes with one axes alone.
        width, height : float, optional
            Of the figure, inches; as it is made for a journal if left out.
        style : {"paper", "talk"}
            How large text and lines are.
        trial, neuron : int, optional
            Of the figures ``raster`` and ``trial``: the training sample, and of the latter the neuron, of those that are kept.
        conditions : list of str, optional
            Those that are shown, as if the run had no others; in this order, the first being what others are compared with.

        Returns
        -------
        The figure, a `matplotlib.figure.Figure` with ``savefig``, which a notebook shows; or ax, where that is given.

        Raises
        ------
        SpecError
            There is no such figure, panel, style or condition, a size is none, or axes are none or too few or many.
        RunError
            The run does not keep what it shows.
        SizeError
            It cannot be read at this size.
        """
        from localdfa.analysis import _panels, report
        from localdfa.analysis import style as looks

        looks.check_size(width=width, height=height)  # before anything is drawn
        drawn = report.drawn(self, name, style, conditions, trial=trial, neuron=neuron)
        if ax is None:
            if panel is not None:
                raise SpecError(f"figure {name!r}: panel = {panel!r} goes with axes to draw it on, ax")
            return report.sized(drawn, width, height)
        if width is not None or height is not None:
            raise SpecError(f"figure {name!r}: width and height are those of a figure of its own, without ax")
        with looks.context():
            places = _panels.placed(drawn, name, ax, panel)
        for chosen, axes in places:
            _panels.draw(drawn, chosen, axes)
        return ax

    def figure_data(self, name: str, *, conditions: Sequence[str] | None = None) -> "pandas.DataFrame":
        """The numbers that a figure shows, as a `pandas.DataFrame` with a row for each point; conditions: as of `plot`.

        Columns: ``panel``, its letter; ``title``, ``x_label`` and ``y_label``, its texts; ``series``, the curve; ``x``, ``y``;
        ``low`` and ``high``, from where to where the band over seeds reaches; ``value`` of the entries of images. Units stand
        in the labels.

        Raises
        ------
        SpecError, RunError, LocalDFAError
            As `plot`; or pandas is not installed.
        """
        from localdfa.analysis import _panels, report

        numbers = _panels.rows(report.drawn(self, name, conditions=conditions))
        found = export.library("pandas", "analysis").DataFrame(numbers, columns=_panels.COLUMNS)
        return found.astype(dict.fromkeys(("x", "y", "low", "high", "value"), float))

    def report(self) -> Path:
        """Write report.html and the figures as SVG into the run, and say where the page is."""
        from localdfa.analysis import report

        return report.write(self)

    def predict(
        self, x: Any, condition: str | None = None, seed: int | None = None, *, outputs: bool = False
    ) -> np.ndarray:  # fmt: skip
        """What a trained network says of samples that it has not seen.

        Parameters
        ----------
        x : array, shape (n, n_features) or (n, *shape of a sample), frame or dict
            In the unit of the training inputs as `localdfa.data.load` has them, that is in [0, 1] for published sets, and for
            arrays and files of your own as these were. Standardising and whitening that the spec asks for is done here.
            Of a frame the columns are taken by the names of those that were learned from, whatever their order, and others
            are left out. Spike trains are a dict of ``time`` (ms, or in what ``time_unit`` says), ``neuron`` and ``sample``,
            each (n_spikes,), and ``count``, of samples, where the last ones have no spikes; or `localdfa.data.Trains`. Of a
            module that reads rows of categories whole numbers (n, n_fields).
        condition : str, optional
            Which condition; it can be left out where there is one.
        seed : int, optional
            Which seed; the first if left out.
        outputs : bool
            Whether to return the activity of the output units, ŷ, in place of the classes; of a module its probabilities.

        Returns
        -------
        array, shape (n,)
            The class with the largest output, the first of several that are equal: a whole number where all classes are, else
            the name. Of a regression numbers, (n,) or (n, n_out). With ``outputs`` always (n, n_out).

        Raises
        ------
        DataError, SpecError
            x is not what the network reads; there is no such condition or seed; or a module reads data that have no samples
            apart from one another, as graphs, texts and views.
        RunError
            It is not finished; or the arrays are needed (see `localdfa.open_run`).
        """
        job, setting = trained.chosen(self, condition, seed)
        trained.require_code(self, job, setting)
        prepare, info = self.experiment.preprocess, self.info
        in_ms = isinstance(x, Mapping) and "time_unit" not in x
        x = given.new(x, info.get("features", []), math.prod(info["shape"]))
        if in_ms and (reason := implausible(x.time, setting.phases.free)):
            raise DataError(
                f"x: time: {reason} Add the entry time_unit = 's' or 'us'; or time_unit = 'ms' if the times are right"
            )
        if (prepare.standardise or prepare.whiten) and self.experiment.data == given.NAME and self._data is None:
            raise RunError(
                f"{self.folder}: inputs are {'whitened' if prepare.whiten else 'standardised'} as the training arrays were, "
                f"which a run does not keep; give them again: localdfa.open_run({str(self.folder)!r}, data=(x, y))"
            )
        if prepare.standardise or prepare.whiten:
            self._check_data()
        if setting.module is not None:
            self._require_data("a module of PyTorch is built")
            activity = drives = trained.module_outputs(self, job, setting, x, self._data)
            if activity.shape[1] == 1:  # yes or no
                return activity if outputs else _labels(info["classes"])[(activity[:, 0] > 0.5).astype(int)]
        else:
            with blas.one_thread():
                part = samples.new(self.experiment, setting, x, tuple(info["shape"]), self._data)
                network = trained.network(self, job, setting)
                last = job.last
                assert last is not None  # as it is finished
                method = engine(setting, last["rule"])
                drives = recording.drives(setting, network, method, part, job.seed, last[record.KEPT])
                activity = network.predict(drives)
        if outputs:
            return activity
        if setting.output.regression:
            return activity[:, 0] if activity.shape[1] == 1 else activity
        return _labels(info["classes"])[drives.argmax(axis=1)]

    def module(self, condition: str | None = None, seed: int | None = None) -> "nn.Module":
        """A trained network as a module of PyTorch, in evaluation mode.

        Of rate neurons it is a ``torch.nn.Sequential`` of layers of torch.nn alone, hidden1, function1 … output, prediction. It
        takes samples, (m, …) of the shape of one, as the network sees them, standardised, whitened or cropped where the spec
        asks for that, and gives the activity of the output units (m, n_out). Of a spec with ``[module]`` it is the module that
        was trained, whose data are read for it.

        Parameters
        ----------
        condition, seed : str, int, optional
            As of `predict`.

        Raises
        ------
        SpecError
            Something of the network has no counterpart in torch.nn, as neurons that spike; the message names its key. There is
            no such condition or seed.
        RunError
            It is not finished.
        LocalDFAError
            PyTorch is not installed.
        """
        from localdfa.interchange import torch as of_torch

        job, setting = trained.chosen(self, condition, seed)
        if setting.module is not None:
            self._require_data("a module of PyTorch is built")
        return of_torch.module(self, job, setting, self._data)

    def export(
        self, to: str, path: str | Path | None = None, condition: str | None = None, seed: int | None = None
    ) -> list[Path]:  # fmt: skip
        """Write what a condition and seed ended with for another program, and say which files were written.

        Parameters
        ----------
        to : str
            The format, as ``localdfa export --help`` lists them.
        path : str or Path, optional
            The file; in the working directory, after the run, the condition and the seed, if left out.
        condition, seed : str, int, optional
            As of `predict`.

        Raises
        ------
        SpecError, RunError, LocalDFAError
            As `localdfa.interchange.export`.
        """
        if to == "torch" and self.experiment.module is not None:
            self._require_data("a module of PyTorch is built")
        return interchange.export(self, to, path, condition, seed, self._data)

    def _require_data(self, why: str) -> None:
        """Refuse to go on without the arrays of a script where something depends on their shape, or with others."""
        if self.experiment.data == given.NAME and self._data is None:
            raise RunError(
                f"{self.folder}: {why} for the training arrays, which a run does not keep; give them again: "
                f"localdfa.open_run({str(self.folder)!r}, data=(x, y))"
            )
        self._check_data()

    def _check_data(self) -> None:
        """Refuse data of the user's own that are no longer what the run began with; published ones are checked as they load."""
        if not self._data_are_known and self.experiment.data.startswith((given.NAME, "npz:")):
            self.check_unchanged(data=samples.fingerprint_now(self.experiment, self._data))
            self._data_are_known = True


def given_to(experiment: Experiment, data: Any) -> Source | None:
    """The arrays of a script, where an experiment learns from such; data: as `localdfa.run` takes them, or None.

    Raises
    ------
    DataError
        They are no data.
    """
    if data is None:
        return None
    return given.source(data, regression=samples.regression(experiment))


def _labels(classes: list[str]) -> np.ndarray:
    """Classes as a script has them: whole numbers, or names."""
    try:
        numbers = [int(name) for name in classes]
    except ValueError:
        return np.array(classes)
    return np.array(numbers) if list(map(str, numbers)) == classes else np.array(classes)
