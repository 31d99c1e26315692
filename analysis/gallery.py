"""Every figure drawn of real runs, for `GALLERY.md`: ``python -m localdfa.analysis.gallery RUNS``.

Trains bundled experiments into the folder RUNS, unless they are there already, and writes ``GALLERY.md`` and
``gallery/NAME.png`` beside this file.
"""

import sys
from pathlib import Path

import localdfa
from localdfa import analysis, files, record, spec
from localdfa.analysis import summary

# The experiments, with the records that they do not keep by themselves.
_RUNS = {
    "quickstart": ("record.activity=500",),
    "digits-spiking": ("record.activity=500", "record.spikes=16"),
    "digits-beta": (),
    "digits-depth": (),
    "digits-bottleneck": (),
    "digits-feedback": (),
    "digits-map": (),
    "digits-trial": (),
    "shakespeare": (),
    "spheres": (),
    "stdp-pair": (),
}
# Figures of the spiking run; the others show the first.
_SPIKING = ("firing", "raster", "rates")
# Runs of which no figure but these is shown.
_ALONE = {
    "beta": "digits-beta", "bottleneck": "digits-bottleneck", "depth": "digits-depth", "dimensions": "spheres",
    "feedback": "digits-feedback", "grid": "digits-bottleneck", "map": "digits-map", "pairs": "stdp-pair",
    "sample": "shakespeare", "sweep": "digits-feedback", "trial": "digits-trial", "views": "spheres", "window": "digits-trial",
}  # fmt: skip
_DOTS_PER_INCH = 104


def runs(folder: Path) -> dict[str, record.Run]:
    """The finished runs, trained where they are not there yet."""
    found = {}
    for name, overrides in _RUNS.items():
        path = folder / name
        there = (path / "spec.toml").is_file() and record.Run(path).status == "finished"
        found[name] = record.Run(path) if there else localdfa.run(spec.load(name, overrides), path, name=name)
    return found


def write(folder: Path, to: Path) -> None:
    """Draw every figure of the runs in `folder` into `to`, and the page that shows them."""
    found = runs(folder)
    page = [
        "# Gallery\n",
        "Every figure that `localdfa plot` draws, of the bundled experiments. To draw them again:\n",
        "    python -m localdfa.analysis.gallery RUNS\n",
        *(f"- `{name}`: `" + " ".join([f"localdfa run {name}", *(f"--set {o}" for o in _RUNS[name])]) + "`" for name in found),
    ]
    for name in analysis.names():
        module = analysis.get(name)
        of = [_ALONE.get(name, "digits-spiking" if name in _SPIKING else "quickstart")]
        if analysis.joint(name):
            of = [each for each in found if each not in _ALONE.values()]
        chosen = [found[each] for each in of]
        content = module.figure(*chosen).content("png", summary.origin(*chosen), dpi=_DOTS_PER_INCH)
        files.write_bytes(to / "gallery" / f"{name}.png", content)
        shown = " and ".join(f"`{each}`" for each in of)
        page.append(f"\n## {name}\n\n![{name}](gallery/{name}.png)\n\n{module.caption(*chosen)} ({shown})")
    files.write_bytes(to / "GALLERY.md", ("\n".join(page) + "\n").encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m localdfa.analysis.gallery RUNS")
    write(Path(sys.argv[1]), Path(__file__).parent)
