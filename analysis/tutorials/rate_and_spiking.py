# %% [markdown]
# # The same rule on rates and on spikes
#
# A leaky integrate-and-fire neuron under a constant current fires at the rate of its f–I curve. One experiment can
# therefore run the same network twice: once with spikes at exact times, learning by the traces that they leave, and once
# as the rate network of the same curve under exact DFA. How far are they apart?
#
# The spikes are read as neo objects (`pip install 'localdfa[analysis,neo]'`), so that elephant works on them.

# %%
import tempfile
from pathlib import Path

import numpy as np

import localdfa
from localdfa import analysis

folder = Path(tempfile.mkdtemp())
experiment = localdfa.experiment(
    data="digits",
    network={"hidden": [48], "neuron": "lif"},
    trace={"tau_x": 20.0, "tau_z": 20.0},
    phases={"beta": 2.0, "free": 200.0, "nudged": 100.0, "propagation": "two_compartment"},
    optimiser={"learning_rate": 4e-3},
    stage=[{"epochs": 4}],
    record={"spikes": 4, "activity": 200},
    condition=[{"name": "spikes"}, {"name": "rates", "rule": "dfa"}],
)
run = localdfa.run(experiment, folder / "run")

# %% [markdown]
# Both learn, and fire at much the same rate.

# %%
frame = run.frame()
print(frame.pivot(index="epoch", columns="condition", values=["test_error", "rate_1"]).round(1).to_string())
final = frame[frame.epoch == 4].set_index("condition")
assert final.test_error.max() < 20

# %% [markdown]
# Before training the update from spikes points where exact DFA does; what spiking alone changes is the angle to the settled
# network under the same rule and the same nudge.

# %%
start = frame[(frame.condition == "spikes") & (frame.epoch == 0)].iloc[0]
print(f"cosine to exact DFA {start.cosine_to_dfa_1:.3f}, to the settled network {start.cosine_to_settled_1:.3f}")
assert start.cosine_to_settled_1 > 0.9

# %% [markdown]
# The spikes of some trials are kept. Each trial is a segment, each neuron a spike train, with its layer and its
# compartment in the annotations, and the phases are an epoch: the soma sends the spikes, its apical twin gets the feedback.

# %%
spiking = run.jobs[0]
segment = spiking.neo().segments[0]
phases = segment.epochs[0]
for label, begin, length in zip(phases.labels, phases.times, phases.durations, strict=True):
    rates = [
        len(train.time_slice(begin, begin + length)) / float(length.rescale("s"))
        for train in segment.spiketrains
        if train.annotations["compartment"] == "soma"
    ]
    print(f"{label:>4}: {float(begin):4.0f} to {float(begin + length):4.0f} ms, {np.mean(rates):5.1f} Hz on average")

# %% [markdown]
# The rates of single neurons in the rate network are those of the f–I curve of the same drive.

# %%
for job in run.jobs:
    rate = job.activity["rate1"].mean(axis=0)
    print(f"{job.condition}: {rate.mean():.1f} Hz on average, {np.mean(rate < 1):.0%} of the neurons below 1 Hz")
for name in ("raster", "rates", "firing"):
    analysis.get(name).figure(run).savefig(folder / f"{name}.pdf")
    print(folder / f"{name}.pdf")
