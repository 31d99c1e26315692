"""Run the benchmarks and print them as tables.

Each fills `found`, what is written as JSON, as it goes: a workload that fails, or an interruption, leaves those before it.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from localdfa.bench import compare, one_trial, pathways, startup, training, trials, workloads
from localdfa.bench import memory as peaks
from localdfa.bench import spiking as spikes
from localdfa.bench.tables import short
from localdfa.bench.worker import at_once
from localdfa.side_by_side import cores

# Peers of training steps, of spiking trials, of the training of spiking networks and of circuits, and the packages they need.
RATE, SPIKING, TRAINING, CIRCUIT = ("pytorch", "numpy"), tuple(trials.PEERS), ("snntorch",), tuple(trials.PEERS)
_PACKAGES = {
    "pytorch": "torch", "brian2": "brian2", "nest": "nest", "annarchy": "ANNarchy", "numpy": "numpy", "snntorch": "snntorch"
}  # fmt: skip
# Those that compile, and what they need for it besides a C++ compiler.
_COMPILING: dict[str, tuple[str, ...]] = {"brian2": (), "annarchy": ("cmake", "make")}


def _installed(against: Sequence[str], console: Console) -> list[str]:
    """The peers that can run here; the others are named."""
    peers = []
    for peer in against:
        if not find_spec(_PACKAGES[peer]):
            console.print(f"{peer} is not installed and is left out: pip install 'localdfa[{_PACKAGES[peer]}]'", markup=False)
        elif peer in _COMPILING and not shutil.which(os.environ.get("CXX", "g++")):
            console.print(f"{peer} needs a C++ compiler (g++, or the one that CXX names), which is not there, and is left out")
        elif missing := [program for program in _COMPILING.get(peer, ()) if not shutil.which(program)]:
            console.print(f"{peer} needs {' and '.join(missing)}, not to be found, and is left out")
        else:
            peers.append(peer)
    return peers


@contextmanager
def _printed(table: Table, console: Console) -> Iterator[None]:
    """Print a table at the end; where that comes too soon, what it has by then."""
    try:
        yield
    finally:
        if table.row_count:
            console.print(table)


def rate(against: Sequence[str], turns: int, found: dict[str, Any]) -> None:
    """Training steps of rate networks in settled mode, ours and every peer that is installed."""
    console = Console()
    peers = _installed(against, console)
    found |= {"turns": turns, "rate": (results := [])}
    table = Table("ours", "samples/s", *(f"{peer},\nexact DFA" for peer in peers), *(f"× {peer}" for peer in peers))
    with _printed(table, console), console.status("compiling") as status:
        for workload in (*workloads.RATE, *workloads.EVENTS):
            status.update(workload.name)
            able = [peer for peer in peers if peer in workloads.EVENTS_PEERS or not workload.epochs]
            result = compare.alternate(workload, able, turns)
            results.append(result)
            speed, ratio = result["samples_per_second"], result["ratio"]
            errors = result.get("test_error", {})
            table.add_row(
                workload.name + "".join(f"\n{side}: {error:.2f} % test error" for side, error in errors.items()),
                f"{speed['ours']:,.0f}",
                *(f"{speed[peer]:,.0f}" if peer in able else "–" for peer in peers),
                *("{median:.2f}\n({min:.2f}–{max:.2f})".format(**ratio[peer]) if peer in able else "–" for peer in peers),
            )
    console.print(
        f"{'-'.join(map(str, workloads.RATE[0].sizes))} on {workloads.RATE[0].data} where no other network is named, "
        f"that one on CIFAR-10; tanh, RMSprop, float32; medians of {turns} turns on {cores()} cores. All events are "
        f"sent, and the weights of all sides compared first; or, ε, small errors send none, and after the epochs named test "
        f"errors are compared.",
        style="dim",
    )


def spiking(against: Sequence[str], turns: int, found: dict[str, Any]) -> None:
    """Trials of spiking networks, ours and every peer that is installed, on one and two threads."""
    console = Console()
    peers = _installed(against, console)
    found |= {"turns": turns, "spiking": (results := [])}
    heads = [head for peer in peers for head in (f"{peer}\nms/trial", f"× {peer}", f"{peer}\nbuilt, s")]
    table = Table("free phase (f),\nnudged too (n)", "threads", "ours\nms/trial", *heads)
    with _printed(table, console), console.status("compiling") as status:
        for work in trials.SPIKING:
            for threads in (1,) if work.online else at_once((1, 2)):
                status.update(f"{work.name}, {threads} threads")
                able = [peer for peer in peers if trials.PEERS[peer](work)]
                result = spikes.alternate(work, threads, able, turns)
                results.append(result)
                cells = []
                for peer in peers:
                    cells += _cells(result, peer) if peer in able else ["–"] * 3
                name = f"{work.name}, {'n' if work.plastic else 'f'}"
                table.add_row(name, str(threads), f"{result['milliseconds']['ours']:.3g}", *cells)
    console.print(
        f"LIF neurons; f: a free phase, of 400 ms or, recurrent, 1 s; n: the nudged phases under the local rule too, one "
        f"compartment, 1200 ms in all; –: not built for this peer. Medians of {turns} turns on {cores()} cores; × is "
        f"the median of the ratios, turn by turn. Ours: exact spike times, float32; the time of a mini-batch over its trials, "
        f"of which each thread takes whole ones. Peers: steps of {trials.DT} ms, float64; their threads share a trial; two of "
        f"their processes beside each other, each on one thread, take at best half the time of one a trial. Brian2: C++ "
        f"standalone; loading and saving are not counted, and the error is given to it. NEST: iaf_psc_exp; creating and "
        f"connecting the network, before every trial, are not counted. ANNarchy: the exact step in its equations.",
        style="dim",
    )


def _cells(result: dict[str, Any], peer: str) -> list[str]:
    """What the table says of a peer."""
    return [
        f"{result['milliseconds'][peer]:.3g}",
        "{median:.2f}\n({min:.2f}–{max:.2f})".format(**result["ratio"][peer]),
        f"{result['built'][peer]:.1f}",
    ]


def circuit(
    against: Sequence[str], turns: int, networks: Sequence[str], duration: float, threads: Sequence[int], found: dict[str, Any]
) -> None:  # fmt: skip
    """One trial of circuits, shared by threads, ours and every peer that is installed."""
    console = Console()
    found |= {"turns": turns, "circuit": (results := [])}
    for name in networks:
        one_trial.tables_of(name)  # a name that is wrong is said before anything is timed
    peers = _installed(against, console)
    beside = "× one\nthread" if threads[0] == 1 else f"× {threads[0]}\nthreads"
    for name in networks:
        with console.status(f"{name}: building, compiling, and every side in turn"):
            result = one_trial.alternate(name, duration, [*threads], peers, turns)
        results.append(result)
        for peer, reason in result["left_out"].items():
            console.print(f"{name}: {peer} is left out: {reason}", markup=False, soft_wrap=True)
        sides = result["sides"]
        table = Table(
            "side", "threads", "ms/\ntrial", "× ours", beside, "Hz", "built\ns", "peak, B/\nsynapse",
            title=f"{name}: {result['neurons']:,} neurons, {sides[0]['synapses'] / 1e6:.4g} M synapses",
            box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),  # of a large network it would not fit 80 columns otherwise
        )  # fmt: skip
        for side in sides:
            room, several = side.get("bytes_per_synapse"), side["threads"] != threads[0]
            table.add_row(
                side["side"], str(side["threads"]), short(1e3 * side["median"]),
                "" if side["side"] == "ours" else _spread(side["times_ours"]), _spread(side["speedup"]) if several else "",
                f"{side['rate']:.3g}", short(side["built"]), "" if room is None else f"{room:.1f}",
            )  # fmt: skip
        console.print(table)
    console.print(
        f"{duration:g} ms of biological time, which all threads of a side share; medians of {turns} turns on {cores()} "
        f"cores, and ratios turn by turn (least–most). Each side draws its synapses itself, by the same rule; what differs in "
        f"synapses or, by more than {one_trial.RATE:.0%}, in its mean rate is left out. Building, compiling, connecting and "
        f"recording are not timed. Ours: exact spike times, float32. Peers: steps of {trials.DT} ms, float64; they draw how "
        f"many events of noise come in a step, ours each event and its time. Built: ours, NEST: drawn and connected; Brian2: "
        f"compiled; ANNarchy: both. Peak: by how much building ours raises the process's memory; of large networks alone it "
        f"says something.",
        style="dim",
    )


def _spread(ratio: dict[str, float]) -> str:
    return "{median:.2f}\n{min:.2f}–{max:.2f}".format(**ratio)


def spiking_training(against: Sequence[str], turns: int, found: dict[str, Any]) -> None:
    """Training steps of a spiking network, ours and every peer that is installed, on one and two threads."""
    console = Console()
    peers = _installed(against, console)
    found |= {"turns": turns, "training": (results := [])}
    table = Table("784-800-10,\nMNIST", "threads", "side", "simulated\na sample", "samples/s", "time / ours")
    with _printed(table, console), console.status("compiling") as status:
        for work in training.TRAINING:
            for threads in at_once(training.THREADS):
                status.update(f"{work.name}, {threads} threads")
                result = training.alternate(replace(work, threads=threads), peers, turns)
                results.append(result)
                for side, speed in result["samples_per_second"].items():
                    ratio = result["ratio"].get(side)
                    table.add_row(
                        work.name, str(threads), side.partition(",")[0], f"{result['duration'][side]:g} ms", f"{speed:,.0f}",
                        "{median:.3g} ({min:.3g}–{max:.3g})".format(**ratio) if ratio else "",
                    )  # fmt: skip
    console.print(
        f"LIF neurons, pixels as currents, float32, RMSprop; medians of {turns} turns on {cores()} cores. Ours: the "
        f"step of `localdfa run mnist-spiking`, two free and two nudged phases at exact times. snnTorch: back-propagation "
        f"through steps of {training.DT:g} ms with surrogate gradients. It has no refractory period; ours is half a step here, "
        f"by which a clock lengthens intervals. Rates compared first, under the same weights; not what a step learns.",
        style="dim",
    )


def pytorch(turns: int, device: str, found: dict[str, Any]) -> None:
    """Training steps of the PyTorch path: the local rule beside exact DFA, several networks at once, and any module."""
    from localdfa.bench import modules  # imports PyTorch

    console = Console()
    found |= {"turns": turns, "device": device, "rules": [], "many": []}
    table = Table("PyTorch", "side", "samples/s", "time of local / dfa")
    with console.status("measuring"):
        for workload in workloads.PYTORCH_RULES:
            local = replace(workload, device=device)
            sides = {"dfa": ("witness", replace(local, rule="dfa")), "local": ("witness", local)}
            result = compare.race(sides, turns)
            found["rules"].append(result)
            _add(table, workload.name, result, "local")
        many = replace(workloads.PYTORCH_MANY, device=device)
        result = compare.race({"at once": ("witness_many", many), "one after the other": ("witness", many)}, turns)
        found["many"].append(result)
    console.print(table)
    table = Table("PyTorch", "side", "samples/s", "× one after the other")
    _add(table, many.name, result, "one after the other")
    console.print(table)
    console.print(
        f"{'-'.join(map(str, many.sizes))} on {many.data}, tanh, RMSprop, float32, local rule with one nudged phase, {device}; "
        f"medians of {turns} turns; weights of both sides compared first",
        style="dim",
    )
    with console.status("modules"):
        found["modules"] = modules.measure(turns, device)
    table = Table("module", "side", "ms a step", "time / plain")
    for result in found["modules"]:
        for side, milliseconds in result["milliseconds"].items():
            ratio = "{median:.2f} ({min:.2f}–{max:.2f})".format(**result["ratio"][side])
            table.add_row(result["module"], side, f"{milliseconds:.2f}", ratio)
    console.print(table)
    console.print("any module, by localdfa.torch; plain is loss.backward() alone; float32, Adam, random inputs", style="dim")


def _add(table: Table, name: str, result: dict[str, Any], other: str) -> None:
    """A row for each side of a race of two; the second has the ratio of their times."""
    for side, speed in result["samples_per_second"].items():
        ratio = "{median:.2f} ({min:.2f}–{max:.2f})".format(**result["ratio"][other])
        table.add_row(name, side, f"{speed:,.0f}", ratio if side == other else "")


def feedback(turns: int, found: dict[str, Any]) -> None:
    """Time training steps under each feedback pathway and kind of B, and print them."""
    result = pathways.measure(turns)
    found |= {"turns": turns, "feedback": result}
    table = Table("rule", "feedback")
    for heading in ("ms a step", "times", "least", "most"):
        table.add_column(heading, justify="right")
    for entry in result:
        times = (f"{entry[key]:.2f}" for key in ("ratio", "least", "most"))
        name = ", ".join(filter(None, (entry["pathway"], entry["kind"])))
        table.add_row(entry["rule"], name, f"{entry['milliseconds']:.2f}", *times)
    console = Console()
    console.print(table)
    console.print("times: how many steps of dfa with direct feedback, or of fa with sequential, one takes", style="dim")


def starts(turns: int, found: dict[str, Any]) -> None:
    """From the command line to the first epoch, with no kernels on disk and with those that the start before has left."""
    result = startup.measure(turns)
    found |= {"turns": turns, "startup": result}
    table = Table("experiment", "first start, s", "second start, s")
    for row in result:
        table.add_row(row["experiment"], *("{median:.1f} ({min:.1f}–{max:.1f})".format(**row[n]) for n in ("first", "second")))
    console = Console()
    console.print(table)
    console.print("from the command to the end of the first epoch; all kernels are compiled in the first start", style="dim")


def memory(found: dict[str, Any]) -> None:
    """Peak memory of networks of several sizes, and bytes a synapse above those of its weight."""
    console = Console()
    with console.status("networks of several sizes"):
        cases = peaks.measure()
    found["memory"] = cases
    table = Table("network", "used", "synapses", "peak, MB", "bytes a synapse\nabove its weight")
    for case in cases:
        table.add_row(
            case["neuron"], "plastic" if case["plastic"] else "static",
            "\n".join(f"{n / 1e6:.0f} M" for n in case["synapses"]), "\n".join(f"{n / 1e6:,.0f}" for n in case["peak"]),
            f"{case['above_weight']:.1f}",
        )  # fmt: skip
    console.print(table)
    console.print("two dense hidden layers, float32, RMSprop, one thread; the slopes of the peaks, a process each", style="dim")
