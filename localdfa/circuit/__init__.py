"""Any circuit of spiking neurons, described by name, simulated without labels; and taught, where parts of it are to learn.

The smallest true form
----------------------
A circuit is four lists by name: *populations* of neurons (a size, a model of the registry, parameters of its own), *sources*
that are given what they send (trains, or Poisson processes), *projections* between any two of them (which pairs, with what
weights, delays and `tau_syn`), and *inputs* to a population (currents, Poisson noise for each neuron). `Circuit` holds these
lists, checks each entry as it is added, and nothing is drawn before the circuit first runs. A value is a number, an array, or a
table that names a distribution, so that what stands here can be written in TOML (`tables`).

What runs is the engine of training: the tables of `core.spiking.tables`, the same kernels for one population, and a loop over
windows of the shortest delay (`core.spiking.simulation`) in the place of a trial with its phases. There is no second engine.

    description (populations, sources, projections, inputs)
      → ranges of neurons (`build`: what one thread advances at a time)
      → synapses (`connect`: which pairs, weights, delays, rows by source, range by range)
      → tables (`build`: one port for each projection, range and delay)
      → simulation (`Circuit.run`: windows that threads share, noise from counters)
      → `Result` (spikes, membranes, figures, neo)

`stored` is where a run puts what it records after each batch of windows: memory, or a file. `saved` keeps the description and
where the simulation stands; synapses are drawn again. `simulated` is the command line's.

`localdfa.pynn` is another front of the same lists.

`Circuit.learner` has plastic projections learn. `learning` checks what it is given and keeps the optimiser, `trials` lays the
drawn circuit out for the kernel of trials (`core.spiking.trial`), the one of the layered networks: there is no second rule, and
no second copy of the weights. The layered networks' spec and run directories are about layers, angles and exact rules to
compare with, which a circuit of any shape has not; so a circuit has a learner of its own, and shares the engine below.

Conventions
-----------
Times are in ms, rates in Hz. v may have any unit, mV say, and currents have the same: τ_m dv/dt = v_rest − v + I, where the
membrane is linear. A spike that arrives adds its weight to v (`tau_syn` = 0), or to a current that decays with `tau_syn`.
Populations have no drive but what they are given. Pairs are (pre, post), and of arrays by pair the rows are presynaptic.

The same seed gives the same bits, however a simulation is cut into runs, whatever is recorded, and with any number of threads.
"""

from localdfa.circuit.description import Circuit, Population, Synapses
from localdfa.circuit.result import Result

__all__ = ["Circuit", "Population", "Result", "Synapses"]
