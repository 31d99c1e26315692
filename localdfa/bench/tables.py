"""Print how the time grows, and the roofline."""

from typing import Any

from rich.console import Console
from rich.table import Table

from localdfa.bench import roofline as roof
from localdfa.bench import scaling as sweeps
from localdfa.side_by_side import cores

# What is shown of a point besides its size and time, by name.
_COUNTS = {"rate": "Hz", "spikes": "spikes", "events": "events", "nanoseconds_per_event": "ns an event"}


def scaling(turns: int, found: dict[str, Any]) -> None:
    """How the time of ours grows with one thing after the other."""
    console = Console()
    with console.status("compiling, then every point in turn"):
        measured = sweeps.measure(turns)
    found |= {"turns": turns, "scaling": measured}
    for sweep in measured:
        _print_growth(sweep, console)
    console.print(
        f"^: exponent, the slope of log time against log size, median of {turns} turns (least–largest); also of the time a "
        f"synaptic event, which is a spike at a synapse or, of rate neurons, a sample of a step at a synapse. Spiking: LIF "
        f"neurons, delta synapses, the time of a mini-batch; recurrent, 500 ms of a free phase. Rate: tanh, local rule and "
        f"RMSprop, the time of a step. float32, {cores()} cores.",
        style="dim",
    )


def _print_growth(sweep: dict[str, Any], console: Console) -> None:
    """The points of a sweep, under its exponents."""
    title, size, speedup = sweep["what"], sweep["size"], sweep.get("speedup")
    if "exponent" in sweep:
        title += ": ^{median:.2f} ({min:.2f}–{max:.2f})".format(**sweep["exponent"])
        title += ", of an event ^{median:.2f}".format(**sweep["exponent_per_event"])
    console.print(f"\n{title}\n[dim]held: {sweep['held']}[/]", highlight=False)
    shown = {key: head for key, head in _COUNTS.items() if key in sweep["points"][0] and key != size}
    table = Table()
    for head in (size.replace("_", "-"), "ms", *shown.values(), *(["× one thread"] if speedup else [])):
        table.add_column(head, justify="right")
    for p, point in enumerate(sweep["points"]):
        cells = [point[size], point["milliseconds"], *(point[key] for key in shown)]
        times = ["{median:.2f} ({min:.2f}–{max:.2f})".format(**speedup[p])] if speedup else []
        table.add_row(*map(short, cells), *times)
    console.print(table)


def short(number: float) -> str:
    """Whole, or to three digits."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def roofline(turns: int, found: dict[str, Any]) -> None:
    """What the inner loops of dense spiking layers reach of what the machine can do."""
    console = Console()
    with console.status("compiling, then every point in turn"):
        measured = roof.measure(turns)
    found |= {"turns": turns, "roofline": measured}
    table = Table("one thread of this machine", "")
    table.add_row("float32 arithmetic, multiplications fused with additions", f"{measured['gigaflops']:.0f} GFLOP/s")
    for triad in measured["triads"]:
        table.add_row(f"triad over {triad['kib']:,} KiB", f"{triad['gigabytes_per_second']:.0f} GB/s")
    console.print(table)
    table = Table("dense layer", caption="G/s and roof: 10⁹ synaptic events a second; %: of the roof", caption_justify="left")
    for head in ("G/s", "GB/s", "GFLOP/s", "roof", "set by", "%"):
        table.add_column(head, justify="right")
    for layer in measured["layers"]:
        speed, reached = layer["events_per_second"] / 1e9, {key: 100 * value for key, value in layer["reached"].items()}
        table.add_row(
            f"{layer['width']}, {layer['name']}", f"{speed:.2f}", f"{layer['gigabytes_per_second']:.0f}",
            f"{layer['gigaflops']:.1f}", f"{100 * speed / reached['median']:.2f}", layer["limit"],
            "{median:.0f} ({min:.0f}–{max:.0f})".format(**reached),
        )  # fmt: skip
    console.print(table)
    static, learn = roof.FORWARD, roof.LEARN
    console.print(
        f"As many inputs as neurons, 20 Hz, weights from one to all, float32; the kernel alone; medians of {turns} turns. An "
        f"event is a spike at a synapse: {static.operations} operations, additions, multiplications and comparisons, and "
        f"{static.touched} bytes, {static.streamed} of them a weight's; while the gate is open, {learn.operations} more, and "
        f"{learn.touched} bytes, {learn.streamed} of them a sum's. The roof is the least of three: this arithmetic at the "
        f"peak; these bytes at the bandwidth of the rows an arrival goes through; weights and sums at that of all of them.",
        style="dim",
    )
