# %% [markdown]
# # Does feedback through random matrices point the right way?
#
# For readers who know back-propagation. Direct feedback alignment (DFA) sends the output error e to each hidden layer
# through a fixed random matrix B instead of the transposed weights, and still learns: the forward weights grow so that
# the update under DFA comes to lie close to the gradient. The local rule does what DFA does without ever reading the
# slope f' of a neuron: it nudges the neuron before its non-linearity and reads how its activity changes.
#
# The metrics are read as a pandas frame (`pip install 'localdfa[analysis]'`).

# %%
import tempfile
from pathlib import Path

import localdfa
from localdfa import analysis

folder = Path(tempfile.mkdtemp())
experiment = localdfa.experiment(
    data="digits",
    seeds=[0, 1],
    network={"hidden": [64, 64]},
    optimiser={"learning_rate": 1e-3},
    stage=[{"epochs": 20}],
    condition=[{"name": "local"}, {"name": "dfa", "rule": "dfa"}],
)
run = localdfa.run(experiment, folder / "run")

# %% [markdown]
# Each epoch measures, on the same samples, the update under the rule, under exact DFA and under BP, and the angles between
# them. One row is one condition, seed and epoch; columns that end in a number belong to that hidden layer.

# %%
frame = run.frame()
columns = ["test_error", "angle_to_dfa_1", "angle_to_bp_1", "angle_to_bp_2"]
print(frame.groupby(["condition", "epoch"])[columns].mean().round(2).to_string())

# %% [markdown]
# The local rule is DFA, to a fraction of a degree, from the first epoch to the last.

# %%
local = frame[frame.condition == "local"]
assert local[["angle_to_dfa_1", "angle_to_dfa_2"]].max().max() < 1

# %% [markdown]
# And DFA comes to align with the gradient: the angle to BP starts near 90°, where two directions of so many dimensions have
# nothing in common, and falls as the weights do.

# %%
by_epoch = local.groupby("epoch").angle_to_bp_2.mean()
print(f"angle to BP in hidden layer 2: {by_epoch.loc[1]:.0f}° after one epoch, {by_epoch.iloc[-1]:.0f}° at the end")
assert by_epoch.iloc[-1] < 70 < by_epoch.loc[1]

# %% [markdown]
# Theorem 1 of [Nøkland 2016](https://arxiv.org/abs/1609.01596) says why: where L > 0 the update that the feedback
# prescribes to a layer also helps the layer above. The figures draw all of it.

# %%
assert local[local.epoch > 1][["theorem_l_1", "theorem_l_2"]].min().min() > 0
for name in ("angles", "theorem"):
    analysis.get(name).figure(run).savefig(folder / f"{name}.pdf")
    print(folder / f"{name}.pdf")
    print(analysis.get(name).caption(run))
