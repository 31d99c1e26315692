"""What ``localdfa simulate`` does: a circuit from a file, simulated into a folder of its own."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from localdfa import folder, registry, spec
from localdfa.circuit.description import Circuit
from localdfa.circuit.result import Result
from localdfa.errors import RunError, SpecError, clipped, quoted
from localdfa.files import write_bytes, write_json, writing
from localdfa.record import origin


def find(name: str) -> Path:
    """The file of a bundled circuit, or the path itself where `name` is one.

    Raises
    ------
    SpecError
        There is no such circuit.
    """
    known = spec.circuits()
    if name.endswith(".toml") or name in known:
        return known.get(name, Path(name))
    near = registry.nearest(name, [*known, *spec.beside(name)])
    raise SpecError(
        f"circuit {quoted(name)} is not one of {', '.join(known)}{f'; did you mean {near!r}?' if near else ''}; or give the "
        "path of a .toml file"
    )


def simulate(
    circuit: Circuit,
    duration: float,
    membranes: tuple[str, ...],
    threads: int | None,
    out: Path | None,
    name: str,
    progress: Callable[[float], None],
    to: Path | None = None,
) -> tuple[Path, Result]:
    """Simulate a circuit, and leave in a folder what it was and what came of it, or in the file `to` what was recorded.

    membranes: of these populations v is kept as well, each millisecond. The folder gets circuit.toml, run.json (versions,
    seconds), spikes.npz with the arrays NAME_times (ms) and NAME_neurons, v.npz where any is kept (moments, and NAME_v), and
    figures; a file is as `stored` says.

    Raises
    ------
    RunError
        The folder has something in it, or the file is there, or either cannot be written.
    SpecError
        As `Circuit.run`.
    """
    record = {each: ["spikes", "v"] if each in membranes else ["spikes"] for each in (*circuit.populations, *membranes)}
    recorded = circuit.require(duration, record)
    if to is not None:
        return to, circuit.run(duration, record, threads=threads, progress=progress, to=to)
    if out is not None:
        try:
            taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
        except (OSError, ValueError) as error:
            raise RunError(f"{clipped(str(out))}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if taken:
            raise RunError(f"{out}: exists already; name another place")
    # What is refused once the circuit is drawn leaves no folder.
    circuit.draw(threads).require_room(circuit.time + duration, recorded, in_memory=True)
    place = folder.take(out, name)
    write_bytes(place / "circuit.toml", circuit.to_toml().encode())
    described, begin = origin(), time.perf_counter()
    result = circuit.run(duration, record, threads=threads, progress=progress)
    seconds = time.perf_counter() - begin
    write_json(place / "run.json", {**described, "duration": duration, "seconds": seconds})
    spikes = {}
    for each in circuit.populations:
        spikes[f"{each}_times"], spikes[f"{each}_neurons"] = result.spikes(each)
    with writing(place / "spikes.npz") as stream:
        np.savez(stream, **spikes)  # type: ignore[arg-type]
    if membranes:
        v = {f"{each}_v": result.v(each)[1] for each in membranes}
        with writing(place / "v.npz") as stream:
            np.savez(stream, moments=result.v(membranes[0])[0], **v)  # type: ignore[arg-type]
    for kind in ("raster", "v") if membranes else ("raster",):
        with writing(place / "figures" / f"{kind}.png") as stream:
            result.plot(kind).savefig(stream, format="png")
    return place, result
