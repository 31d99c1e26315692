"""A certificate on the screen and in its files."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from localdfa import registry
from localdfa.files import write_bytes, write_json


def write(certificate: dict[str, Any], folder: Path) -> Path:
    """Write certificate.json and, but of circuits, figures/certificate.svg and .png into a folder; where the first is.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    from localdfa.analysis import certificate as rate
    from localdfa.analysis import spiking_certificate as spiking

    path = folder / "certificate.json"
    write_json(path, certificate)
    if certificate["kind"] == "circuits":
        return path
    drawn = (rate if certificate["kind"] == "rate" else spiking).draw(certificate)
    for form in ("svg", "png"):
        write_bytes(folder / "figures" / f"certificate.{form}", drawn.content(form))
    return path


def print_tables(certificate: dict[str, Any], console: Console) -> None:
    """Print what was measured and, in the end, the verdict, with the rows that fail."""
    if certificate["kind"] == "circuits":
        _say(console, f"Random circuits in float64, spike by spike: seed {certificate['seed']}")
        console.print(_circuits(certificate["compared"]))
    else:
        _learning(certificate, console)
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


def _learning(certificate: dict[str, Any], console: Console) -> None:
    """Of a rule."""
    spec = certificate["spec"]
    about = f"{spec['data']}, {spec['network']['neuron']}, condition {certificate['condition']!r}, seed {certificate['seed']}"
    if certificate["kind"] == "rate":
        exact, pathway = certificate["exact"].upper(), certificate["pathway"]
        through = "" if pathway == registry.get("rules", certificate["exact"]).own else f", feedback {pathway}"
        _say(console, f"Local rule (Numba) against exact {exact} (PyTorch, {certificate['device']}){through}: {about}")
        console.print(_updates(certificate["checkpoints"], exact))
        if len(certificate["trajectory"]) > 1:
            console.print(_trajectory(certificate["trajectory"], certificate["in_percent"], certificate["exact"]))
    else:
        _spiking(certificate, about, console)


def _spiking(certificate: dict[str, Any], about: str, console: Console) -> None:
    if "brian2" in certificate:
        trials = certificate["brian2"]["trials"]
        _say(console, f"Event by event against Brian2's clock, {trials} trial{'s' * (trials > 1)}: {about}")
        console.print(_clock(certificate["brian2"]))
    if "dfa" in certificate:
        _say(console, f"Update from spikes against exact DFA of the f–I curve, epoch {certificate['epoch']}: {about}")
        console.print(_against_dfa(certificate["dfa"]))
        at = certificate["dfa"]["best"]
        setting = f"nudges of {at['window']:g} ms, β = {at['beta']:g}, {at['batch']} samples"
        _say(console, f"Closest to DFA: {setting}; cosine {', '.join(_cosine(value) for value in at['cosine'])}")
    else:
        _say(console, f"Not compared with exact DFA. {certificate['left_out']}")


def _circuits(compared: list[dict[str, Any]]) -> Table:
    """Of each kind of circuits and each reference: spikes missed, spikes too many, and by how much times differ."""
    table = _table("circuits", "reference", "number", "spikes", "missed", "extra", "largest\ndifference (ms)")
    table.columns[0].justify = table.columns[1].justify = "left"
    for each in compared:
        found = each["circuits"]
        sums = [str(sum(one[what] for one in found)) for what in ("spikes", "missed", "extra")]
        table.add_row(each["kind"], each["reference"], str(len(found)), *sums, _number(max(one["largest"] for one in found)))
    return table


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


def _clock(found: dict[str, Any]) -> Table:
    """Every difference, a row each, at the shortest steps."""
    shown, order = found["steps"][-4:], found["order"]
    table = _table("difference (relative)", *(f"{row['step']:g} ms" for row in shown), "order")
    table.columns[0].justify = "left"
    for name, key in (("spike times, largest (ms)", "largest"), ("spike times, mean (ms)", "mean")):
        table.add_row(name, *(_number(row[key]) for row in shown), _order(order["spike_time"]) if key == "mean" else "")
    table.add_row(f"spikes unmatched, of {shown[0]['spikes']}", *(str(row["alone"]) for row in shown), "")
    for what in ("traces", "changes"):
        for name in shown[0][what]:
            table.add_row(name, *(_number(row[what][name]) for row in shown), _order(order[what][name]))
    return table


def _against_dfa(found: dict[str, Any]) -> Table:
    """Through the best setting: over windows, over β, over batches."""
    table, at = _table("nudge (ms)", "β", "batch", "layer", "cosine\nto DFA", "theory"), found["best"]
    for varied in ("window", "beta", "batch"):
        fixed = {key: at[key] for key in ("window", "beta", "batch") if key != varied}
        entries = [entry for entry in found["settings"] if all(entry[key] == value for key, value in fixed.items())]
        for entry in entries:
            for l, (cosine, theory) in enumerate(zip(entry["cosine"], entry["theory"], strict=True)):
                cells = [f"{entry['window']:g}", f"{entry['beta']:g}", str(entry["batch"])] if l == 0 else [""] * 3
                known = _cosine(theory) + ("" if l < found["constant_layers"] else "*")
                table.add_row(*cells, str(l + 1), _cosine(cosine), known)
        table.add_section()
    if len(at["cosine"]) > found["constant_layers"]:
        table.caption = "* as if drives and thresholds were constant"
    return table


def _cosine(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _order(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _updates(checkpoints: list[dict[str, Any]], exact: str) -> Table:
    table = _table(
        "epoch", "layer", f"1 − cos\nto {exact}", "relative\nerror", "slope\none-sided", "slope\ncentered", "Numba −\nPyTorch",
        "local\nto BP", f"{exact}\nto BP",
    )  # fmt: skip
    for checkpoint in checkpoints:
        for layer in checkpoint["layers"]:
            cells = [f"{checkpoint['epoch']}{'*' if checkpoint['of'] == 'run' else ''}", str(layer["layer"])]
            if "local_exact" in layer:
                cosine = layer["local_exact"]["cosine"]
                cells += [_number(None if cosine is None else 1 - cosine), _number(layer["local_exact"]["relative_error"])]
                cells += [_slope(layer[nudging]) for nudging in ("one_sided", "centered")]
                angles = [_angle(layer[pair]["angle"]) for pair in ("local_bp", "exact_bp")]
            else:
                cells, angles = [*cells, *["–"] * 4], ["–", "–"]
            table.add_row(*cells, _number(layer["agreement"]), *angles)
    if any(checkpoint["of"] == "run" for checkpoint in checkpoints):
        table.caption = "* the weights of the run"
    return table


def _trajectory(rows: list[dict[str, Any]], in_percent: str, exact: str) -> Table:
    errors = [f"{in_percent} (%)\n{side}" for side in ("local, Numba", f"{exact}, PyTorch")]
    table = _table("epoch", *errors, "relative distance\nof weights")
    for row in rows:
        table.add_row(
            str(row["epoch"]), f"{row['local_error']:.2f}", f"{row['exact_error']:.2f}", _number(max(row["weight_distance"]))
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"


def _full(value: float | None) -> str:
    """With so many digits that a cosine shows on which side of its bound it is."""
    return "undefined" if value is None else f"{value:.8g}"


def _angle(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}°"


def _slope(swept: dict[str, Any]) -> str:
    return "exact" if swept["exact"] else "–" if swept["slope"] is None else f"{round(swept['slope'], 3) + 0.0:.3f}"
