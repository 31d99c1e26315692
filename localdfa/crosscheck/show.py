"""A certificate on the screen and in its files."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from localdfa.record import write_bytes, write_json


def write(certificate: dict[str, Any], folder: Path) -> Path:
    """Write certificate.json and figures/certificate.svg and .png into a folder; where the first is.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    from localdfa.analysis import certificate as figure

    path = folder / "certificate.json"
    write_json(path, certificate)
    drawn = figure.draw(certificate)
    for form in ("svg", "png"):
        write_bytes(folder / "figures" / f"certificate.{form}", drawn.content(form))
    return path


def print_tables(certificate: dict[str, Any], console: Console) -> None:
    """Print what was measured and, in the end, the verdict, with the rows that fail."""
    spec = certificate["spec"]
    about = f"{spec['data']}, {spec['network']['neuron']}, condition {certificate['condition']!r}, seed {certificate['seed']}"
    console.print(Text(f"Local rule (Numba) against exact DFA (PyTorch, {certificate['device']}): {about}"), soft_wrap=True)
    console.print(_updates(certificate["checkpoints"]))
    if len(certificate["trajectory"]) > 1:
        console.print(_trajectory(certificate["trajectory"]))
    failed = [row for row in certificate["rows"] if not row["holds"]]
    if not failed:
        console.print(Text(f"The certificate holds: all {len(certificate['rows'])} tolerances.", style="bold green"))
        return
    console.print(
        Text(f"The certificate fails: {len(failed)} of {len(certificate['rows'])} tolerances do not hold.", style="bold red")
    )
    for row in failed:
        bound = f"at least {row['least']:g}" if row["least"] is not None else f"at most {row['most']:g}"
        console.print(Text(f"  {row['name']}: {_full(row['value'])}, allowed: {bound}"), soft_wrap=True)


def _updates(checkpoints: list[dict[str, Any]]) -> Table:
    table = _table(
        "epoch", "layer", "1 − cos\nto DFA", "relative\nerror", "slope\none-sided", "slope\ncentered", "Numba −\nPyTorch",
        "local\nto BP", "DFA\nto BP",
    )  # fmt: skip
    for checkpoint in checkpoints:
        for layer in checkpoint["layers"]:
            cells = [f"{checkpoint['epoch']}{'*' if checkpoint['of'] == 'run' else ''}", str(layer["layer"])]
            if "local_dfa" in layer:
                cosine = layer["local_dfa"]["cosine"]
                cells += [_number(None if cosine is None else 1 - cosine), _number(layer["local_dfa"]["relative_error"])]
                cells += [_slope(layer[nudging]) for nudging in ("one_sided", "centered")]
                angles = [_angle(layer[pair]["angle"]) for pair in ("local_bp", "dfa_bp")]
            else:
                cells, angles = [*cells, *["–"] * 4], ["–", "–"]
            table.add_row(*cells, _number(layer["agreement"]), *angles)
    if any(checkpoint["of"] == "run" for checkpoint in checkpoints):
        table.caption = "* the weights of the run"
    return table


def _trajectory(rows: list[dict[str, Any]]) -> Table:
    table = _table("epoch", "test error (%)\nlocal, Numba", "test error (%)\ndfa, PyTorch", "relative distance\nof weights")
    for row in rows:
        table.add_row(
            str(row["epoch"]), f"{row['local_error']:.2f}", f"{row['dfa_error']:.2f}", _number(max(row["weight_distance"]))
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.4f}"


def _full(value: float | None) -> str:
    """With so many digits that a cosine shows on which side of its bound it is."""
    return "undefined" if value is None else f"{value:.8g}"


def _angle(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}°"


def _slope(swept: dict[str, Any]) -> str:
    return "exact" if swept["exact"] else "–" if swept["slope"] is None else f"{round(swept['slope'], 3) + 0.0:.3f}"
