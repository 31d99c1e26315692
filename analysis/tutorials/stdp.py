# %% [markdown]
# # STDP from "presynaptic activity × derivative of postsynaptic activity"
#
# For neuroscientists. Let x be the exponential trace of a presynaptic neuron and z that of a postsynaptic one: each jumps
# by 1 at a spike of its neuron and decays, with τ_x and τ_z. The rule changes a weight by ∫ x dz. Integrating once by
# parts, exactly,
#
#     ∫ x dz = τ_z/(τ_x+τ_z) Σ_post x − τ_x/(τ_x+τ_z) Σ_pre z + τ_x/(τ_x+τ_z) [x z] at the ends,
#
# with x and z read just before a spike: each postsynaptic spike adds the presynaptic trace, each presynaptic spike
# subtracts the postsynaptic one. That is pair STDP, and its two areas are equal.

# %%
import tempfile
from pathlib import Path

import numpy as np

import localdfa
from localdfa.analysis import style

TAU_X, TAU_Z = 20.0, 30.0  # ms


def trace(spikes, times, tau):
    """The trace of a neuron that spikes at `spikes`, just before each of `times`, in ms."""
    ages = np.subtract.outer(times, spikes)
    return np.where(ages > 0, np.exp(-np.maximum(ages, 0) / tau), 0).sum(axis=1)


def by_pairs(pre, post, end):
    """∫ x dz from 0 to `end` as STDP: a sum over spikes."""
    whole = TAU_X + TAU_Z
    edge = trace(pre, np.array([end]), TAU_X)[0] * trace(post, np.array([end]), TAU_Z)[0]
    return (TAU_Z * trace(pre, post, TAU_X).sum() - TAU_X * trace(post, pre, TAU_Z).sum() + TAU_X * edge) / whole


def by_quadrature(pre, post, end, steps=200_000):
    """The same integral, added up in small steps of time: jumps of z at its spikes, and its decay between them."""
    middle = (np.arange(steps) + 0.5) * end / steps
    decay = trace(pre, middle, TAU_X) * trace(post, middle, TAU_Z)
    return trace(pre, post, TAU_X).sum() - decay.sum() * end / steps / TAU_Z


# %% [markdown]
# ## The window
#
# One presynaptic spike and one postsynaptic spike `lag` later, integrated until the traces are gone.

# %%
lags = np.concatenate([np.linspace(-100, -2, 25), np.linspace(2, 100, 25)])
pre = np.array([150.0])
measured = np.array([by_quadrature(pre, pre + lag, 900.0, 40_000) for lag in lags])
predicted = np.where(
    lags > 0,
    TAU_Z / (TAU_X + TAU_Z) * np.exp(-np.abs(lags) / TAU_X),
    -TAU_X / (TAU_X + TAU_Z) * np.exp(-np.abs(lags) / TAU_Z),
)
assert np.abs(measured - predicted).max() < 1e-3
area = TAU_Z / (TAU_X + TAU_Z) * TAU_X, TAU_X / (TAU_X + TAU_Z) * TAU_Z
print(f"area of potentiation {area[0]:.1f} ms, of depression {area[1]:.1f} ms")

# %% [markdown]
# ## In a network
#
# The spikes of a trial of a spiking network with two hidden layers: neurons of the first are presynaptic to those of the
# second, whose apical twins, which get the feedback, carry z. Sums over pairs and the integral agree for every synapse.

# %%
folder = Path(tempfile.mkdtemp())
experiment = localdfa.experiment(
    data="digits",
    network={"hidden": [24, 16], "neuron": "lif"},
    trace={"tau_x": TAU_X, "tau_z": TAU_Z},
    phases={"beta": 2.0, "free": 250.0, "nudged": 100.0, "propagation": "two_compartment"},
    stage=[{"epochs": 1}],
    record={"spikes": 1},
)
run = localdfa.run(experiment, folder / "run")
kept = run.jobs[0].spikes
end = float(kept["edges"][-1])


def spikes_of(layer, neuron, twin):
    return kept["time"][(kept["population"] == layer) & (kept["neuron"] == neuron) & (kept["twin"] == twin)]


compared = 0
for i in range(16):
    post = spikes_of(2, i, True)
    for j in range(0, 24, 6):
        pre = spikes_of(1, j, False)
        if len(pre) and len(post) and compared < 12:
            pairs, integral = by_pairs(pre, post, end), by_quadrature(pre, post, end)
            assert abs(pairs - integral) < 2e-3 * (1 + abs(pairs)), (pairs, integral)
            compared += 1
print(f"{compared} synapses, {len(kept['time'])} spikes: the sum over pairs is the integral")
assert compared

# %% [markdown]
# The window as a figure.

# %%
with style.context():
    drawn = style.Figure(style.ONE_COLUMN, 2.4)
    axes = drawn.add_subplot()
    axes.axhline(0, **style.LEVEL)
    for side in (lags < 0, lags > 0):
        axes.plot(lags[side], predicted[side], color=style.PALETTE[0], label="predicted" if lags[side][0] > 0 else None)
    axes.plot(lags, measured, "o", color=style.PALETTE[5], label="measured")
    axes.set(xlabel="Postsynaptic − presynaptic spike (ms)", ylabel="Change ∫ x dz (1)")
    axes.legend()
drawn.savefig(folder / "stdp.pdf")
print(folder / "stdp.pdf")
