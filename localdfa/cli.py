"""The command line: ``localdfa run``, ``resume``, ``watch``, ``plot``, ``report``, ``certify``, ``list``, ``show`` …"""

import io
import json
import math
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from localdfa import __version__
from localdfa.errors import LocalDFAError, NonFiniteError, quoted, resuming

if TYPE_CHECKING:
    from rich.console import Console

    from localdfa.progress import Progress
    from localdfa.record import Run
    from localdfa.spec import Experiment
    from localdfa.spec.grid import Grid
    from localdfa.spec.search import Search

# The exit status after Ctrl-C, as shells have it.
_INTERRUPTED = 130


def _interrupt(*_: Any) -> None:
    """What a cluster sends before it takes a machine away does what Ctrl-C does: nothing is lost, and no worker is left."""
    raise KeyboardInterrupt


class _Group(click.Group):
    """Says what localdfa raises on purpose as one message, without a traceback, and replaces what a terminal cannot show."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LocalDFAError as error:
            click.echo(f"localdfa: {error}", err=True)
        except MemoryError as error:
            click.echo(f"localdfa: not enough memory for this network or data set: {error}", err=True)
        except KeyboardInterrupt:
            click.echo("localdfa: interrupted", err=True)
            ctx.exit(_INTERRUPTED)
        ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="localdfa")
def main() -> None:
    """Spiking and rate networks that learn by a local form of direct feedback alignment."""


def _examples(*lines: str) -> str:
    """The end of a command's help: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


_SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the spec; repeatable.")
_DEVICE = click.option(
    "--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]), help="Where PyTorch computes."
)
_MODELS = click.option("--allow-models", is_flag=True, help="Execute the Python files of models that a run brings.")
_TENSORBOARD = click.option("--tensorboard", is_flag=True, help="Write the metrics for TensorBoard as well.")
_OUT = click.option("--out", type=click.Path(path_type=Path), help="The run directory.  [default: runs/NAME-DATE-TIME]")
_FORCE = click.option("--force", is_flag=True, help="Replace the run that is at --out already.")
_JOBS = click.option(
    "--jobs", type=click.IntRange(1, 1000), metavar="N", help="Train N conditions and seeds side by side, in processes of Dask."
)
_SCHEDULER = click.option(
    "--scheduler", metavar="ADDRESS", help="Train them on the workers of this scheduler of Dask, as tcp://node1:8786."
)


def _workers(jobs: int | None, scheduler: str | None) -> int | str | None:
    """Who trains; None: this process, one condition and seed after the other."""
    if jobs and scheduler:
        raise LocalDFAError(f"--jobs {jobs}: the workers of --scheduler train; allowed: one of the two options")
    return scheduler or jobs


@main.command(
    epilog=_examples(
        "localdfa run quickstart",
        "localdfa run mine.toml --out runs/mine",
        "localdfa run digits-spiking --set phases.beta=1 --set 'seeds=[0,1]'",
    )
)
@click.argument("name")
@_SET
@_OUT
@_FORCE
@_JOBS
@_SCHEDULER
@_TENSORBOARD
def run(
    name: str, overrides: tuple[str, ...], out: Path | None, force: bool, jobs: int | None, scheduler: str | None,
    tensorboard: bool,
) -> None:  # fmt: skip
    """Train the bundled experiment NAME, or your own .toml file, and write its report."""
    _run(name, overrides, out, force, tensorboard, _workers(jobs, scheduler))


def _run(
    name: str, overrides: tuple[str, ...], out: Path | None, force: bool, tensorboard: bool, workers: int | str | None,
    grid: "Grid | None" = None, search: "Search | None" = None,
) -> None:  # fmt: skip
    """Train the experiment of a name, and report."""
    from localdfa import spec

    experiment, path = _loaded(name, overrides), spec.find(name)
    from localdfa import train

    base = path.resolve().parent
    _train(
        lambda shown: train.run(
            experiment, out, name=path.stem, force=force, progress=shown, base=base, workers=workers, grid=grid, search=search
        ),
        tensorboard,
    )


@main.command(
    epilog=_examples(
        "localdfa sweep digits-spiking --grid phases.beta=0.1,1 --seeds 3",
        "localdfa sweep mine.toml --grid 'network.hidden=[100],[200]' --jobs 4",
        "localdfa sweep mine.toml --grid batch_size=16,64 --scheduler tcp://a:8786",
        "localdfa sweep mine.toml --search optimiser.learning_rate=1e-4..1e-2:log",
        "localdfa sweep mine.toml --search 'batch_size=16|32|64' --trials 50",
    )
)
@click.argument("name")
@click.option(
    "--grid", "grids", multiple=True, metavar="KEY=VALUE,VALUE",
    help="Values of a key of the spec; repeatable, and all combinations are trained.",
)  # fmt: skip
@click.option(
    "--search", "ranges", multiple=True, metavar="KEY=RANGE",
    help="LOW..HIGH, LOW..HIGH:log or A|B|C, from which Optuna chooses values of a key, trial by trial; repeatable.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(1, 1000), metavar="N", help="Of a search.  [default: 20]")
@click.option("--condition", metavar="NAME", help="The one that is searched; it can be left out where there is one.")
@click.option("--sampler-seed", type=click.IntRange(0, 2**32 - 1), help="Of a search.  [default: 0]")
@click.option("--seeds", type=click.IntRange(1, 1000), metavar="N", help="So many, from 0.  [default: those of the spec]")
@_SET
@_OUT
@_FORCE
@click.option(
    "--jobs", type=click.IntRange(1, 1000), metavar="N", help="Trainings at once, in processes of Dask.  [default: the cores]"
)
@_SCHEDULER
@_TENSORBOARD
def sweep(
    name: str, grids: tuple[str, ...], ranges: tuple[str, ...], trials: int | None, condition: str | None,
    sampler_seed: int | None, seeds: int | None, overrides: tuple[str, ...], out: Path | None, force: bool, jobs: int | None,
    scheduler: str | None, tensorboard: bool,
) -> None:  # fmt: skip
    """Train the experiment NAME over a grid, or search for the best values of some keys, side by side.

    With --grid each condition is trained with every combination of values. The run that is left has a condition for each
    combination, called after its values, and is reported, drawn and resumed as any other. A condition that does not read a key
    stands in it once, as a control.

    With --search Optuna chooses values from ranges, of whole numbers where both ends are written so. Each trial is a condition
    of the run, and is compared by its validation error, a mean over seeds. An interrupted search is resumed as any run.
    """
    from localdfa.side_by_side import cores
    from localdfa.spec import grid, search

    if bool(grids) == bool(ranges):
        raise LocalDFAError(
            f"sweep: --grid or --search: {'both are' if grids else 'neither is'} given; allowed: one of them, as "
            "--grid phases.beta=0.1,1 or --search phases.beta=0.1..10"
        )
    of_search = {"--trials": trials, "--condition": condition, "--sampler-seed": sampler_seed}
    if grids and (given := [option for option, value in of_search.items() if value is not None]):
        raise LocalDFAError(f"sweep: {given[0]} is of a search; allowed with --search")
    if seeds:
        overrides = (*overrides, f"seeds={list(range(seeds))}")
    searched = None
    if ranges:
        searched = search.Search(search.from_options(ranges), trials or 20, condition, sampler_seed or 0)
    workers = _workers(jobs or (None if scheduler else cores()), scheduler)
    _run(name, overrides, out, force, tensorboard, workers, grid.from_options(grids) or None, searched)


@main.command(
    epilog=_examples(
        "localdfa simulate brunel",
        "localdfa simulate mine.toml --duration 2000 --v exc --out runs/mine",
        "localdfa simulate cuba --duration 60000 --to spikes.h5",
    )
)
@click.argument("name")
@click.option("--duration", default=1000.0, show_default=True, help="For how long, ms of biological time.")
@click.option("--v", "membranes", multiple=True, metavar="POPULATION", help="Keep v of its neurons, each ms; repeatable.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Share the circuit.  [default: those of Numba, if it is large]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="In the place of the file's.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: runs/NAME-DATE-TIME]")
@click.option(
    "--to",
    "to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="No folder: write what is recorded to a new file of HDF5 as it comes, in memory that does not grow.",
)
def simulate(
    name: str, duration: float, membranes: tuple[str, ...], threads: int | None, seed: int | None, out: Path | None,
    to: Path | None,
) -> None:  # fmt: skip
    """Simulate the bundled circuit NAME, or that of your own .toml file: no labels, nothing learns.

    It leaves a folder with the circuit, the versions, all spikes and a raster plot; or with --to a file of what was recorded,
    which is called FILE.part until it is whole.
    """
    from rich.console import Console

    from localdfa.circuit import Circuit, simulated
    from localdfa.circuit.stored import part_of
    from localdfa.display import Clock, circuit_table

    if out and to:
        raise LocalDFAError("--out and --to: allowed: one of them, a folder or a file")
    path, console = simulated.find(name), Console()
    circuit = Circuit.from_toml(path, seed)
    try:
        with Clock(console, duration) as clock:
            place, result = simulated.simulate(circuit, duration, membranes, threads, out, path.stem, clock.at, to)
    except KeyboardInterrupt:
        if to and (left := part_of(to)).exists():
            _say(console, f"what was recorded until then: {left}")
        raise
    console.print(circuit_table(result))
    _say(console, f"{duration:g} ms in {clock.seconds:.3g} s; {'spikes' if to else 'spikes and figures'}: {place}")


# The files of the package that has one for each format; it is imported when it is used.
_FORMATS = sorted(path.stem for path in (Path(__file__).parent / "interchange").glob("[!_]*.py"))


@main.command(
    epilog=_examples(
        "localdfa export brunel --to brian2",
        "localdfa export mine.toml --to brian2 --out mine.py",
        "localdfa export runs/mine --to safetensors --condition local",
    )
)
@click.argument("what", metavar="RUN|CIRCUIT")
@click.option("--to", "target", required=True, type=click.Choice(_FORMATS), help="The format.")
@click.option("--condition", metavar="NAME", help="Of a run; it can be left out where there is one.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Of a run, its first if left out; of a circuit, for the file's."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file.  [default: named after what it is of]")
@_MODELS
def export(what: str, target: str, condition: str | None, seed: int | None, out: Path | None, allow_models: bool) -> None:
    """Write what the run in the folder RUN has trained, or a bundled CIRCUIT or your own of a .toml file, for other programs.

    Of a run: its weights (safetensors), its network as a program of PyTorch (torch) or, of LIF neurons, as a graph of NIR
    (nir), or the spikes that it keeps (nwb). Of a circuit: a graph of NIR (nir), or a script for Brian2 or NEST that runs on
    its own, arrays beside it (brian2, nest).
    """
    from localdfa import interchange
    from localdfa.circuit import Circuit, simulated
    from localdfa.results import Run

    if Path(what).is_dir():
        written = Run(what, allow_models).export(target, out, condition, seed)
    else:
        if condition is not None:
            raise LocalDFAError(f"--condition {condition}: {what} is no run; allowed with the folder of one")
        path = simulated.find(what)
        circuit, ending = Circuit.from_toml(path, seed), interchange.format_of(target).ENDING
        written = interchange.export(circuit, target, out or f"{path.stem}{ending}")
    click.echo(", ".join(map(str, written)))


@main.command(epilog=_examples("localdfa resume runs/mine", "localdfa resume runs/mine --jobs 4"))
@click.argument("folder", type=click.Path(path_type=Path))
@_MODELS
@_JOBS
@_SCHEDULER
@_TENSORBOARD
def resume(folder: Path, allow_models: bool, jobs: int | None, scheduler: str | None, tensorboard: bool) -> None:
    """Go on with the run in FOLDER, to the same bits as if it had not been interrupted."""
    from localdfa import train

    workers = _workers(jobs, scheduler)
    _train(lambda progress: train.resume(folder, progress, allow_models=allow_models, workers=workers), tensorboard)


def _train(go: Callable[["Progress"], "Run"], tensorboard: bool) -> None:
    """Train with a display of progress, then report; after Ctrl-C report what there is."""
    from rich.console import Console

    from localdfa.display import Several, Where, display

    console, where = Console(), Where()
    try:
        with ExitStack() as displays:
            shown: list[Progress] = [where, displays.enter_context(display(console))]
            if tensorboard:
                from localdfa.tensorboard import TensorBoard

                shown.append(displays.enter_context(TensorBoard()))
            trained = go(Several(*shown))
    except KeyboardInterrupt:
        if where.folder is None:
            raise
        _say(console, f"interrupted; go on with: {resuming(where.folder)}")
        if (where.folder / "summary.json").is_file():  # something has been measured
            _say(console, "drawing the report of what there is; Ctrl-C leaves it out")
            try:
                _report(where.folder, console)
            except KeyboardInterrupt:
                _say(console, "no report")
        sys.exit(_INTERRUPTED)
    except NonFiniteError:
        if where.folder is not None:
            _report(where.folder, console)
        raise
    _report(trained.folder, console)


def _report(folder: Path, console: "Console") -> None:
    from localdfa.analysis import report
    from localdfa.record import Run

    opened = Run(folder)
    try:
        written = report.write(opened)  # before anything is printed, and whatever error it meets the table is
    except Exception:
        report.print_table(opened, console)
        raise
    report.print_table(opened, console)
    _say(console, f"report: {written}")
    if best := opened.best:
        from localdfa.data import given
        from localdfa.spec.search import said

        error = f"validation {best.measure.name} {best.error:.4g} {best.measure.unit}".rstrip()
        _say(console, f"best: {best.name}, {error}: {said(best.values)}")
        if opened.experiment.data != given.NAME:
            _say(console, f"to train it anew: localdfa run {shlex.quote(str(folder / 'best.toml'))}")


def _say(console: "Console", text: str) -> None:
    """A line as it is, however long."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@main.command(epilog=_examples("localdfa certify digits-beta", "localdfa certify runs/mine"))
@click.argument("what", metavar="SPEC|RUN")
@click.option("--data", help="Data set, in place of the spec's.")
@click.option(
    "--neurons", "neuron", type=click.Choice(["lif", "alif"]),
    help="Spiking neurons of this model, with its defaults, in place of the spec's; a free phase of 10 τ, nudges of 5 τ.",
)  # fmt: skip
@_DEVICE
@_SET
@_MODELS
@click.option("--out", type=click.Path(path_type=Path), help="Folder of certificate.json.  [default: RUN or certificates/SPEC]")
def certify(
    what: str, data: str | None, neuron: str | None, device: str, overrides: tuple[str, ...], allow_models: bool,
    out: Path | None,
) -> None:  # fmt: skip
    """Certify the local rule of a spec, or of a finished run, in float64: of its first condition with that rule.

    Rate neurons: an independent PyTorch implementation says whether it follows exact DFA, update by update at initialisation
    and along training, and in the training as a whole.

    Spiking neurons: Brian2 simulates a few trials at several time steps, with which spikes, traces and weight changes are
    compared; and the update is compared with exact DFA of the neurons' f–I curve, over the nudge's duration, β and batch,
    beside what theory says of its noise. With --neurons there is the latter alone.

    The exit status is 0 where every tolerance of the spec's table [certify] holds, else 1.
    """
    from rich.console import Console

    from localdfa import spec, train
    from localdfa.crosscheck import show
    from localdfa.record import Run

    console, folder = Console(), Path(what)
    if data is not None:
        overrides = (*overrides, f"data={json.dumps(data)}")
    trained = Run(folder, allow_models) if folder.is_dir() else None
    if trained and neuron:
        raise LocalDFAError(f"certify {what} --neurons {neuron}: a run has its neurons; allowed with a spec")
    path = folder / "spec.toml" if trained else spec.find(what)
    experiment = train.located(_loaded(str(path), overrides), path.resolve().parent)
    with console.status("certifying") as status:
        certificate = _certificate(experiment, neuron, device, trained, lambda text: status.update(text))
    written = show.write(certificate, out or (folder if trained else Path("certificates") / path.stem))
    show.print_tables(certificate, console)
    _say(console, f"certificate: {written}")
    sys.exit(0 if certificate["holds"] else 1)


def _certificate(
    experiment: "Experiment", neuron: str | None, device: str, trained: "Run | None", say: Callable[[str], None]
) -> dict[str, Any]:
    """The certificate that fits the neurons."""
    from localdfa.crosscheck import subject

    if neuron is None and not subject.chosen(experiment)[1].spiking:
        _require("torch", "certify", "PyTorch")
        from localdfa.crosscheck import certificate

        return certificate.certify(experiment, device, trained, say)
    if _typed("device"):
        raise LocalDFAError("certify of spiking neurons: --device: they are simulated by localdfa and Brian2, on the CPU")
    if neuron is None:
        _require("brian2", "certify of spiking neurons", "Brian2")
    from localdfa.crosscheck import spiking

    return spiking.certify(experiment, neuron, trained, say)


def _require(package: str, what: str, name: str) -> None:
    """package: the module, and the extra that brings it."""
    if find_spec(package) is None:
        raise LocalDFAError(f"{what} needs {name}, which is not installed: pip install 'localdfa[{package}]'")


def _loaded(name: str, overrides: tuple[str, ...]) -> "Experiment":
    """The experiment of a name or file with overrides; what not all of its conditions take is said."""
    from localdfa import spec

    experiment = spec.load(name, overrides)
    for line in spec.untaken(name, overrides):
        click.echo(f"note: {line}", err=True)
    return experiment


@main.command(
    "certify-circuits", epilog=_examples("localdfa certify-circuits", "localdfa certify-circuits --count 10 --seed 1")
)
@click.option(
    "--count", default=100, show_default=True, type=click.IntRange(1, 100_000), help="Circuits, and as many on a clock."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of what is drawn.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("certificates/circuits"), show_default=True,
    help="Folder of certificate.json.",
)  # fmt: skip
def certify_circuits(count: int, seed: int, out: Path) -> None:
    """Certify the simulation of circuits in float64: random ones, spike by spike.

    Each is simulated as well by an exact reference that shares no code with the engine; circuits whose spikes all come on a
    clock also by Brian2, which is exact there. The exit status is 0 where no spike is missed or extra, and times agree to
    rounding; else 1.
    """
    _require("brian2", "certify-circuits", "Brian2")
    from rich.console import Console

    from localdfa.crosscheck import circuits, show

    console = Console()
    with console.status("certifying") as status:
        certificate = circuits.certify(count, seed, lambda text: status.update(text))
    show.print_tables(certificate, console)
    _say(console, f"certificate: {show.write(certificate, out)}")
    sys.exit(0 if certificate["holds"] else 1)


@main.command(epilog=_examples("localdfa watch runs/mine"))
@click.argument("folder", type=click.Path(path_type=Path))
@_MODELS
def watch(folder: Path, allow_models: bool) -> None:
    """Follow the run in FOLDER while it goes on elsewhere: errors, firing rates, curves and the time left."""
    from rich.console import Console

    from localdfa.watch import watch

    watch(folder, Console(), allow_models=allow_models)


@main.command(
    epilog=_examples(
        "localdfa plot runs/mine",
        "localdfa plot runs/mine --figure angles --format pdf --width 3.4",
        "localdfa plot runs/mine --figure errors --condition local --condition bp",
        "localdfa plot runs/a runs/b --figure comparison --csv --out .",
    )
)
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--figure", "names", multiple=True, metavar="NAME", help="A figure; repeatable.  [default: all that can be drawn]"
)
@click.option("--format", "form", default="png", show_default=True, type=click.Choice(["png", "svg", "pdf"]))
@click.option("--csv", "as_numbers", is_flag=True, help="Write the numbers that figures show, NAME.csv, and no pictures.")
@click.option("--style", "look", default="paper", show_default=True, type=click.Choice(["paper", "talk"]))
@click.option("--width", type=float, help="Of each figure, inches.  [default: that of one column or two of a journal]")
@click.option("--height", type=float, help="Of each figure, inches.  [default: as its panels need]")
@click.option(
    "--condition", "conditions", multiple=True, metavar="NAME",
    help="A condition that figures show, as if there were no others; repeatable.  [default: all]",
)  # fmt: skip
@click.option("--trial", type=int, help="The training sample that raster and trial show.  [default: a telling one]")
@click.option("--neuron", type=int, help="The neuron of the first hidden layer that trial shows.  [default: a telling one]")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where to.  [default: figures in each run]")
@_MODELS
def plot(
    folders: tuple[Path, ...], names: tuple[str, ...], form: str, as_numbers: bool, look: str, width: float | None,
    height: float | None, conditions: tuple[str, ...], trial: int | None, neuron: int | None, out: Path | None,
    allow_models: bool,
) -> None:  # fmt: skip
    """Draw figures of one run or more; one that compares runs goes to --out, or where the command is given."""
    from localdfa import analysis
    from localdfa.analysis import report
    from localdfa.record import Run

    of_pictures = {"form": "--format", "look": "--style", "width": "--width", "height": "--height"}
    given = [option for key, option in of_pictures.items() if _typed(key)]
    if as_numbers and given:
        raise LocalDFAError(f"--csv {given[0]}: numbers have no {given[0].strip('-')}; allowed: one of the two options")
    for folder in folders:
        if str(folder) in analysis.names() and not folder.exists():
            raise LocalDFAError(f"{folder}: is a figure, and not a run directory; did you mean --figure {folder}?")
    runs, form = [Run(folder, allow_models) for folder in folders], "csv" if as_numbers else form
    for line in report.plot(runs, names, form, look, out, width, height, conditions, trial=trial, neuron=neuron):
        click.echo(line)


@main.command(epilog=_examples("localdfa report runs/mine", "localdfa report runs/a runs/b --out both.html"))
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The page.  [default: report.html in the run, or here]"
)
@_MODELS
def report(folders: tuple[Path, ...], out: Path | None, allow_models: bool) -> None:
    """Write one self-contained HTML page on one run, or on several side by side."""
    from localdfa.analysis import report
    from localdfa.record import Run

    click.echo(f"report: {report.write(*(Run(folder, allow_models) for folder in folders), path=out)}")


@main.command(
    epilog=_examples(
        "localdfa paper 2x800 --rules local,dfa --epochs 20",
        "localdfa paper --table",
    )
)
@click.argument("what", metavar="[TABLE|FIGURE|ROW]...", nargs=-1)
@click.option(
    "--of", "name", default="nokland2016", show_default=True, metavar="PAPER", help="Which paper; `localdfa list` names them."
)
@click.option("--rules", metavar="RULE,RULE", help="The conditions to train, separated by commas.  [default: all]")
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Stop trainings after so many.  [default: the paper's end]")
@click.option("--seeds", type=click.IntRange(1, 1000), help="So many, from 0.  [default: those of the row's experiment]")
@click.option("--jobs", type=click.IntRange(1, 1000), help="Trainings at once.  [default: the number of cores]")
@click.option("--table", "only_table", is_flag=True, help="Write and print the tables of what is measured; train nothing.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Folder of runs, results and tables.  [default: runs/PAPER]",
)  # fmt: skip
def paper(
    what: tuple[str, ...], name: str, rules: str | None, epochs: int | None, seeds: int | None, jobs: int | None,
    only_table: bool, out: Path | None,
) -> None:  # fmt: skip
    """Train the tables and figures of a paper, or some of their rows, with the paper's values beside.

    Each condition and seed of a row is a run of its own, several at once, a core or more each. What is finished is kept;
    the same command goes on with what is not. Where nothing was measured in --out, the tables have what comes with localdfa.
    """
    from rich.console import Console

    from localdfa import papers
    from localdfa.errors import RunError
    from localdfa.files import write_bytes
    from localdfa.papers import cells, figures, running, tables, terminal
    from localdfa.side_by_side import cores

    if only_table and (given := [f"--{key}" for key in ("rules", "epochs", "seeds", "jobs") if _typed(key)]):
        raise LocalDFAError(f"--table {' '.join(given)}: trains nothing; allowed: one of these")
    of, console, out = papers.named(name), Console(), out or Path("runs") / name
    chosen, named = of.chosen(what), [rule.strip() for rule in (rules or "").split(",") if rule.strip()]
    rows = {row.name: row for table in chosen for row in table.row}
    cells.require_rules(of, rows.values(), named)
    asked = [cell for row in rows.values() for cell in cells.of(of, row, named, seeds, epochs)]
    here = cells.kept(out / "results")
    missing = [] if only_table else [cell for cell in asked if not cells.find(here, cell)]
    failed: dict[str, str] = {}
    if missing:
        try:
            with terminal.Progress(console, len(missing)) as shown:
                failed = running.train_all(missing, out, jobs or cores(), shown)
        except KeyboardInterrupt:
            _say(console, "interrupted; the same command goes on")
            sys.exit(_INTERRUPTED)
    results, shipped = cells.kept(out / "results"), cells.kept(of.results)
    for table in chosen:
        terminal.print_table(table.title, tables.entries(of, table, results, shipped), console)
    pictures = {}
    for table in chosen:
        try:
            pictures[table.name] = figures.draw(of, table, out)
        except RunError as error:
            _say(console, f"no figure: {error}")
    for path, _ in (drawn for each in pictures.values() for drawn in each):
        _say(console, f"figure: {path}")
    for form in ("md", "html"):
        write_bytes(out / f"tables.{form}", tables.page(of, chosen, results, pictures, out, form, shipped).encode())
    _say(console, f"tables: {out / 'tables.html'}, {out / 'tables.md'}")
    if failed:
        raise LocalDFAError("\n".join(f"{name}: {why}" for name, why in failed.items()))


_KINDS = ("models", "data", "experiments", "circuits", "papers", "figures")


@main.command("list", epilog=_examples("localdfa list --data", "localdfa list --experiments --figures"))
@click.option("--models", "kinds", flag_value="models", multiple=True, help="Neurons, rules, outputs, pathways and so on.")
@click.option("--data", "kinds", flag_value="data", multiple=True, help="Data sets.")
@click.option("--experiments", "kinds", flag_value="experiments", multiple=True, help="Experiments that come with localdfa.")
@click.option("--circuits", "kinds", flag_value="circuits", multiple=True, help="Circuits, for `localdfa simulate`.")
@click.option("--papers", "kinds", flag_value="papers", multiple=True, help="Papers whose tables can be trained.")
@click.option("--figures", "kinds", flag_value="figures", multiple=True, help="Figures of a run.")
def list_(kinds: tuple[str, ...]) -> None:
    """Show the models of every kind, the data sets, experiments and figures there are; or some of these."""
    from localdfa import analysis, papers, registry, spec

    shown = kinds or _KINDS
    for family, (_, heading, *_) in registry.FAMILIES.items():
        if ("data" if family == "data" else "models") in shown:
            _section(heading, registry.described(family))
    if "experiments" in shown:
        _section("experiments", {name: spec.title(name) for name in spec.bundled()})
    if "circuits" in shown:
        _section("circuits", {name: spec.circuit_title(name) for name in spec.circuits()})
    if "papers" in shown:
        _section("papers", {name: papers.named(name).cite for name in papers.names()})
    if "figures" in shown:
        _section("figures", {name: registry.describe("analysis", name) for name in analysis.names()})


def _section(heading: str, entries: dict[str, str], capital: bool = True) -> None:
    """One heading and its entries, aligned, folded to the terminal's width; capital: whether the heading gets one."""
    formatter = click.HelpFormatter(max_width=100)
    with formatter.section(heading[:1].upper() + heading[1:] if capital else heading):
        formatter.write_dl(list(entries.items()))
    click.echo(formatter.getvalue())


def _keys(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The keys that a shell completes."""
    from localdfa.spec import explain

    return [name for name in dict.fromkeys(key.name for key in explain.all_keys()) if name.startswith(incomplete)]


@main.command(
    epilog=_examples(
        "localdfa explain phases.beta", "localdfa explain feedback", "localdfa explain tau_m", "localdfa explain lif"
    )
)
@click.argument("key", required=False, shell_complete=_keys)
def explain(key: str | None) -> None:
    """Say what KEY of a spec is: its type, unit, bounds, default and meaning.

    KEY is a whole key (phases.beta), a table (feedback), the last part of a key (beta), or a model (lif), whose parameters are
    then shown. Without it all keys are listed.
    """
    from localdfa.spec import explain

    if key is None:
        by_table: dict[str, dict[str, str]] = {}
        for each in explain.all_keys():
            table = each.name.partition(".")[0] if "." in each.name else "keys and tables"
            by_table.setdefault(table, {})[each.label] = each.meaning.partition(";")[0] or each.type
        for table, entries in by_table.items():
            _section(table, entries, capital=False)
        return
    found = explain.find(key)
    for each in found:
        told = {name: getattr(each, name) for name in ("type", "unit", "allowed", "default", "meaning")}
        _section(each.label, {name: text for name, text in told.items() if text}, capital=False)


@main.command(
    epilog=_examples(
        "localdfa new mine && localdfa run mine.toml",
        "localdfa new mine --data mnist",
        "localdfa new mine --data diabetes --regression",
    )
)
@click.argument("name")
@click.option("--data", default="digits", show_default=True, help="Data set of samples, as `localdfa list --data` names them.")
@click.option("--regression", is_flag=True, help="The data have numbers to be fitted, and no labels.")
def new(name: str, data: str, regression: bool) -> None:
    """Write NAME.toml, a spec to begin with, which says of each key what it is."""
    from localdfa import data as datasets
    from localdfa.files import write_bytes
    from localdfa.spec import experiment, explain

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    if path.name == ".toml":
        raise LocalDFAError(f"{quoted(name)}: names no file; allowed: a name, as mine or mine.toml")
    if path.exists():
        raise LocalDFAError(f"{path}: exists already; name another file")
    datasets.check_name(data)
    text = explain.new(path.stem, data, regression)
    experiment(explain.parsed(text), source=str(path))  # a file that would not run is not written
    write_bytes(path, text.encode())
    click.echo(f"{path}: localdfa run {shlex.quote(str(path))} trains it")


@main.command(epilog=_examples("localdfa show quickstart", "localdfa show quickstart > mine.toml"))
@click.argument("name")
@_SET
def show(name: str, overrides: tuple[str, ...]) -> None:
    """Print the resolved spec of an experiment or a .toml file, every default spelled out."""
    from localdfa import data, record

    experiment = _loaded(name, overrides)
    if experiment.loop is None:  # which says in words what it has learned from
        data.check_name(experiment.data)
    click.echo(record.to_toml(experiment), nl=False)


@main.command(epilog=_examples("localdfa cache", "localdfa cache --clear"))
@click.option("--clear", is_flag=True, help="Remove them all; they are compiled again when they are needed.")
def cache(clear: bool) -> None:
    """Show the folder of compiled kernels, how many there are and how much room they take."""
    from localdfa.core import kernel_cache

    if clear:
        click.echo(f"{kernel_cache.clear()} kernels removed from {kernel_cache.folder()}")
        return
    sizes = [path.stat().st_size for path in kernel_cache.contents()]
    click.echo(f"{kernel_cache.folder()}: {len(sizes)} kernels, {sum(sizes) / 1e6:.1f} MB")


@main.command(epilog=_examples("localdfa bench rate", "localdfa bench spiking --against brian2 --turns 3"))
@click.argument(
    "what",
    type=click.Choice(
        ["rate", "spiking", "circuit", "training", "startup", "memory", "feedback", "scaling", "roofline", "torch"]
    ),
)
@click.option(
    "--against", multiple=True,
    type=click.Choice(["pytorch", "numpy", "brian2", "nest", "annarchy", "snntorch"]),
    help="Peers to run beside.  [default: all there are]",
)  # fmt: skip
@click.option("--turns", default=7, show_default=True, type=click.IntRange(1, 1000), help="Alternations of each workload.")
@click.option(
    "--networks", metavar="NAME,NAME", help="Of circuit: cuba, brunel, or NEURONS-PERCENT, as 20000-2.  [default: six of them]"
)
@click.option("--duration", type=click.FloatRange(1, 1e6), help="Of circuit: biological time of a trial, ms.  [default: 1000]")
@click.option(
    "--threads", metavar="N,N", help="Of circuit: threads that share a trial.  [default: 1,2, as far as there are cores]"
)
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures to this file.")
@_DEVICE
def bench(
    what: str, against: tuple[str, ...], turns: int, networks: str | None, duration: float | None, threads: str | None,
    path: Path | None, device: str,
) -> None:  # fmt: skip
    """Time a workload beside its peers: rate (training steps of rate networks, beside pytorch and numpy), spiking (trials of
    spiking networks, beside brian2 and, where they are recurrent and static, nest and annarchy), circuit (one trial of a
    circuit, which threads share, beside brian2, nest and annarchy), training (training steps of a spiking network, beside
    snntorch), startup (to the first epoch, when kernels are compiled and when they are on disk), memory (peaks against the size
    of the network), feedback (training steps under each feedback pathway and kind of B, beside the pathway from which it is
    derived), scaling, roofline or torch.

    torch times the PyTorch path beside itself: the local rule against exact DFA, several networks at once against one after
    the other, and modules under the rules of `localdfa.torch` against plain back-propagation.

    scaling: how the time of ours grows with neurons, synapses, rates, delays, mini-batches and threads. roofline: what inner
    loops reach of the machine's bandwidth and arithmetic.
    """
    if what == "torch":
        _require("torch", "bench torch", "PyTorch")
    if path is not None:
        from localdfa import folder

        folder.check_target(path)
    from localdfa.bench import show, tables

    of_circuit = {"--networks": networks, "--duration": duration, "--threads": threads}
    if what != "circuit" and (given := [option for option, value in of_circuit.items() if value is not None]):
        raise LocalDFAError(f"bench {what}: {' '.join(given)}; allowed with bench circuit")
    if what != "torch" and _typed("device"):
        raise LocalDFAError(f"bench {what}: --device; allowed with bench torch")
    if what == "memory" and _typed("turns"):
        raise LocalDFAError("bench memory: --turns; each size is measured once")
    peers = {"rate": show.RATE, "spiking": show.SPIKING, "training": show.TRAINING, "circuit": show.CIRCUIT}.get(what, ())
    if set(against) - set(peers):
        raise LocalDFAError(f"bench {what}: --against {' '.join(against)}; allowed: {', '.join(peers) or 'no peer'}")
    chosen = [peer for peer in peers if peer in against or not against]
    results: dict[str, Any] = {}
    timed: dict[str, Callable[[], None]] = {
        "rate": lambda: show.rate(chosen, turns, results),
        "spiking": lambda: show.spiking(chosen, turns, results),
        "training": lambda: show.spiking_training(chosen, turns, results),
        "circuit": lambda: show.circuit(chosen, turns, *_of_circuit(networks, duration, threads), results),
        "startup": lambda: show.starts(turns, results),
        "memory": lambda: show.memory(results),
        "feedback": lambda: show.feedback(turns, results),
        "torch": lambda: show.pytorch(turns, device, results),
        "scaling": lambda: tables.scaling(turns, results),
        "roofline": lambda: tables.roofline(turns, results),
    }
    try:
        timed[what]()
    finally:
        if path is not None and results:
            from localdfa.files import write_json

            write_json(path, results)


def _typed(key: str) -> bool:
    """Whether an option of the command stands on the command line; key: its argument."""
    return click.get_current_context().get_parameter_source(key) is not click.core.ParameterSource.DEFAULT


def _of_circuit(networks: str | None, duration: float | None, threads: str | None) -> tuple[list[str], float, list[int]]:
    """Networks, duration and numbers of threads of `bench circuit`."""
    from localdfa.bench import one_trial
    from localdfa.bench.worker import at_once

    named = [name.strip() for name in networks.split(",")] if networks is not None else [*one_trial.NETWORKS]
    counts = [*map(str, at_once((1, 2)))] if threads is None else [count.strip() for count in threads.split(",")]
    if not all(count.isascii() and count.isdecimal() and 1 <= int(count) <= 1024 for count in counts):
        raise LocalDFAError(f"--threads {threads}: allowed: whole numbers from 1 to 1024, separated by commas")
    for option, of in (("--networks", named), ("--threads", counts)):
        if len(set(of)) < len(of):
            raise LocalDFAError(f"{option} {','.join(of)}: one comes twice")
    if duration is not None and math.isnan(duration):
        raise LocalDFAError("--duration nan: allowed: ms, from 1 to 1,000,000")
    return named, duration or 1000.0, [*map(int, counts)]
