"""A back end of PyNN: scripts written for PyNN run on circuits, with exact spike times.

    import localdfa.pynn as sim

in the place of ``import pyNN.nest as sim``. Populations, projections and recorders are PyNN's own (`pyNN.common`), and so are
connectors, random numbers and positions. They are kept as they are described, and when ``run`` is first called a
`localdfa.Circuit` is made of them (`simulator`). Cells are `IF_curr_exp`, `IF_curr_delta`, `SpikeSourceArray` and
`SpikeSourcePoisson`, synapses `StaticSynapse`, currents `DCSource` and `StepCurrentSource` (`models`); PyNN's other standard
models are refused by name.

Spike times do not depend on ``timestep``. It is the grid of delays, of moments at which currents change, and of samples of v.
"""

try:
    import pyNN as _  # noqa: F401
except ImportError:
    raise ImportError("localdfa.pynn needs PyNN: pip install 'localdfa[pynn]'") from None

from pyNN import common, errors, random, space
from pyNN.connectors import (
    AllToAllConnector,
    ArrayConnector,
    CloneConnector,
    CSAConnector,
    DisplacementDependentProbabilityConnector,
    DistanceDependentProbabilityConnector,
    FixedNumberPostConnector,
    FixedNumberPreConnector,
    FixedProbabilityConnector,
    FixedTotalNumberConnector,
    FromFileConnector,
    FromListConnector,
    IndexBasedProbabilityConnector,
    OneToOneConnector,
    SmallWorldConnector,
)
from pyNN.network import Network
from pyNN.random import GSLRNG, NumpyRNG, RandomDistribution
from pyNN.space import Space

from localdfa.pynn import models, simulator
from localdfa.pynn.models import (
    DCSource,
    IF_curr_delta,
    IF_curr_exp,
    SpikeSourceArray,
    SpikeSourcePoisson,
    StaticSynapse,
    StepCurrentSource,
)
from localdfa.pynn.populations import Assembly, Population, PopulationView
from localdfa.pynn.projections import Projection
from localdfa.pynn.simulator import end, setup

run, run_until = common.build_run(simulator)
run_for = run
reset = common.build_reset(simulator)
initialize, set = common.initialize, common.set
(get_current_time, get_time_step, get_min_delay, get_max_delay, num_processes, rank) = common.build_state_queries(simulator)
create = common.build_create(Population)
connect = common.build_connect(Projection, FixedProbabilityConnector, StaticSynapse)
record = common.build_record(simulator)
globals().update(models.REFUSED)


def list_standard_models() -> list[str]:
    """The names of the cells that there are."""
    return [cell.__name__ for cell in models.CELLS]


__all__ = [
    "GSLRNG",
    "AllToAllConnector",
    "ArrayConnector",
    "Assembly",
    "CSAConnector",
    "CloneConnector",
    "DCSource",
    "DisplacementDependentProbabilityConnector",
    "DistanceDependentProbabilityConnector",
    "FixedNumberPostConnector",
    "FixedNumberPreConnector",
    "FixedProbabilityConnector",
    "FixedTotalNumberConnector",
    "FromFileConnector",
    "FromListConnector",
    "IF_curr_delta",
    "IF_curr_exp",
    "IndexBasedProbabilityConnector",
    "Network",
    "NumpyRNG",
    "OneToOneConnector",
    "Population",
    "PopulationView",
    "Projection",
    "RandomDistribution",
    "SmallWorldConnector",
    "Space",
    "SpikeSourceArray",
    "SpikeSourcePoisson",
    "StaticSynapse",
    "StepCurrentSource",
    "connect",
    "create",
    "end",
    "errors",
    "get_current_time",
    "get_max_delay",
    "get_min_delay",
    "get_time_step",
    "initialize",
    "list_standard_models",
    "num_processes",
    "random",
    "rank",
    "record",
    "reset",
    "run",
    "run_for",
    "run_until",
    "set",
    "setup",
    "space",
]
__all__ += [*models.REFUSED]
