"""Which neurons synapses join, beyond the dense layers: sparse and one-to-one projections, recurrent ones. No dynamics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.core.joining import place_pairs
from localdfa.errors import SpecError
from localdfa.spec.derived import projected

if TYPE_CHECKING:
    from localdfa.spec.tables import NetworkTable, ProjectionTable

# Steps from synapse to synapse that are drawn at a time.
_DRAWN = 2**20


@dataclass(frozen=True)
class Projection:
    """Which populations synapses join, and how.

    pre, post: populations, 0 the inputs, 1 the first hidden layer, and so on, the output last. delay: conduction delay, ms.
    tau: time constant of the synaptic current, ms; 0 for a synapse that moves v at once. plastic: whether it learns. biased:
    whether it carries the biases of its target, as those from each layer to the next do. ends (n_pre + 1,), targets: of a
    sparse projection; neuron j reaches targets[ends[j]:ends[j + 1]], each once, in ascending order. None where all reach all.
    exciting: under Dale's law, so many neurons of pre, the first, excite, and the others inhibit; None where signs are free.
    """

    pre: int
    post: int
    delay: float
    tau: float = 0.0
    plastic: bool = True
    biased: bool = True
    ends: np.ndarray | None = None
    targets: np.ndarray | None = None
    exciting: int | None = None

    def by_sign(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Views of this projection's weights under Dale's law: those that excite, and those that inhibit."""
        n = self.exciting
        if self.ends is None:
            return weights[:n], weights[n : len(weights) - self.biased]
        return weights[0, : self.ends[n]], weights[0, self.ends[n] : self.ends[-1]]

    def keeps_signs(self, weights: np.ndarray) -> bool:
        """Whether this projection's weights keep to Dale's law, where it shall."""
        if self.exciting is None:
            return True
        excite, inhibit = self.by_sign(weights)
        return bool((excite >= 0).all() and (inhibit <= 0).all())

    def dense(self, found: np.ndarray, n_post: int) -> np.ndarray:
        """What lies by synapse, shaped as this projection's weights, as an array (n_pre, n_post), the biases below it."""
        if self.ends is None or (ends := self.ends_of_synapses) is None:
            return found
        spread, n = np.zeros((len(self.ends) - 1, n_post), found.dtype), len(ends[0])
        spread[ends] = found[0, :n]
        return np.concatenate([spread, found[:, n:]]) if self.biased else spread

    def by_synapse(self, dense: np.ndarray) -> np.ndarray:
        """The opposite: of an array of all pairs, the biases below it, what belongs to a synapse or bias that there is."""
        if self.ends is None or (ends := self.ends_of_synapses) is None:
            return dense
        return np.concatenate([dense[ends], *dense[len(self.ends) - 1 :]])[None]

    @property
    def ends_of_synapses(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The neurons that the synapses of a sparse projection join, pre and post, both (n_synapses,); None where all are."""
        if self.ends is None or self.targets is None:
            return None
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends)), self.targets

    @property
    def n_synapses(self) -> int | None:
        """Number of synapses of a sparse projection."""
        return None if self.targets is None else len(self.targets)


def wire(
    network: "NetworkTable", sizes: tuple[int, ...], streams: Callable[[int], np.random.Generator]
) -> tuple[Projection, ...]:
    """The projections of a spec's table `network`: from each layer to the next, then the others in their order.

    sizes: (n_in, hidden …, n_out); streams: the random numbers of each projection.
    """
    named = {(table.pre, table.post): table for table in network.projection}
    found = []
    for number, (pre, post) in enumerate(projected(network)):
        table, biased = named.get((pre, post)), number < len(sizes) - 1
        if table is None:
            found.append(Projection(pre, post, network.delay, network.tau_syn, exciting=_exciting(network, sizes, pre)))
            continue
        delay = network.delay if table.delay is None else table.delay
        tau = network.tau_syn if table.tau_syn is None else table.tau_syn
        joined = _joined(table, sizes[pre], sizes[post], streams(number))
        found.append(Projection(pre, post, delay, tau, table.plastic, biased, *joined, _exciting(network, sizes, pre)))
    return tuple(found)


def _exciting(network: "NetworkTable", sizes: tuple[int, ...], pre: int) -> int | None:
    """How many neurons of a population excite under Dale's law: all inputs, and of a hidden layer at least one, and not all."""
    if network.dale == "none" or (pre == 0 and network.dale == "hidden"):
        return None
    return sizes[0] if pre == 0 else max(1, min(sizes[pre] - 1, round((1 - network.inhibitory) * sizes[pre])))


def _joined(
    table: "ProjectionTable", n_pre: int, n_post: int, rng: np.random.Generator
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Where the rows of a sparse projection end, and its targets; None where all are joined."""
    if table.connect == "dense":
        return None, None
    if table.connect == "one_to_one":
        if n_pre != n_post:
            raise SpecError(f"network.projection: one_to_one joins populations of one width, not {n_pre} and {n_post}")
        return np.arange(n_pre + 1), np.arange(n_pre, dtype=np.int32)
    return draw_pairs(table.probability, n_pre, n_post, rng)


def draw_pairs(
    probability: float, n_pre: int, n_post: int, rng: np.random.Generator, kind: Any = np.int32
) -> tuple[np.ndarray, np.ndarray]:
    """Each pair joined with this probability, by itself: the ends of rows, and the targets, of this type of number.

    From one synapse to the next, in the order of pairs, the number of steps has a geometric distribution; it is the whole part
    of an exponential one, and so the time grows with synapses, not with pairs. Blocks keep the memory that of the targets.
    """
    likely = n_pre * n_post * probability
    most = int(likely + 8 * np.sqrt(likely)) + 64  # about as many as there can be
    scale = -1.0 / np.log1p(-probability) if probability < 1 else 0.0  # of the exponential distribution
    ends, targets, count, at = np.zeros(n_pre + 1, np.int64), np.empty(most, kind), 0, -1
    while at < n_pre * n_post:
        steps = rng.standard_exponential(min(_DRAWN, most))
        if count + len(steps) > len(targets):
            targets.resize(count + len(steps), refcheck=False)
        at, count = place_pairs(steps, scale, at, n_pre, n_post, ends[1:], targets, count)
    targets.resize(count, refcheck=False)
    return np.cumsum(ends), targets
