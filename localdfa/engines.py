"""Engines, which run a mini-batch through a network under a rule: settled, in time, or spike by spike.

`engine` is the one place that decides which of them does it.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from localdfa import registry
from localdfa.adversary import FastSign
from localdfa.core import forked
from localdfa.core.rate import settled, timed
from localdfa.core.rate.activation import activation
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking.carried import Carried
from localdfa.core.update import Update
from localdfa.data.trains import Inputs, array_of
from localdfa.network import Network
from localdfa.spec import Setting, derived


class Engine(Protocol):
    """What an engine does with a mini-batch of m samples.

    inputs: (m, n_features + 1), whose last column is ones, or spike trains. targets: (m, n_out). rng: draws what is random in
    the mini-batch. carried: where trials begin as the one before has ended, the state that the mini-batch goes on from; left
    out, it begins at rest.
    """

    def read(self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None) -> np.ndarray:
        """The drive a_y of the output at the end of the free phase, (m, n_out)."""

    def free_phase(
        self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The activity h of each hidden layer in the free phase, (m, n_l), of spiking neurons their rate in Hz; and the drive
        a_y of the output, as `read` gives it."""

    def answer(self, network: Network, l: int, currents: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The activity of hidden layer l (0 the first), (m, n_l), as `free_phase` gives it, and the drive of the output, where
        currents (m, n_l) reach the neurons of this layer beside their biases, and no inputs; of dense layers."""

    def learn(
        self, network: Network, inputs: Inputs, targets: np.ndarray, rng: np.random.Generator, frozen: frozenset[int],
        carried: Carried | None = None,
    ) -> Update:  # fmt: skip
        """What the mini-batch teaches. frozen: projections that do not learn, whose update may be left out."""


def _answer_in_time(
    engine: Engine, network: Network, l: int, currents: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What `Engine.answer` says, by a free phase of the layer and what is above it."""
    inputs = np.concatenate([currents, np.ones_like(currents[:, :1])], axis=1)
    (activity, *_), drive = engine.free_phase(network.from_layer(l), inputs, rng)
    return activity, drive


class Settled:
    """Rate neurons with τ = 0, which send at most one graded event a phase; and every exact rule, whatever the neurons.

    Drives that are normalised are so by the moments of the mini-batch in `learn`, by running averages elsewhere.

    adversary: where a mini-batch is learned from adversarial examples in place of its samples, what makes them.
    """

    def __init__(self, setting: Setting, rule: str, adversary: FastSign | None = None) -> None:
        self._setting, self._rule, self._adversary = setting.under(rule), rule, adversary
        self._checked = False  # whether a mini-batch has shown that the rule and its pathway write what they are to write

    def read(self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None) -> np.ndarray:
        return settled.free_phase(network, array_of(inputs), self._setting.network.threshold, running=True).drive[-1]

    def free_phase(
        self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        free = settled.free_phase(network, array_of(inputs), self._setting.network.threshold, running=True)
        activity = [1e3 * h / network.neuron.gain for h in free.activity] if self._setting.spiking else free.activity
        return activity, free.drive[-1]

    def answer(self, network: Network, l: int, currents: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        epsilon, (m, n) = self._setting.network.threshold, currents.shape
        activity, sent = np.empty_like(currents), np.ones((m, n + 1), currents.dtype)
        activation(network.neuron.__class__)(
            network.neuron, currents.dtype.type(epsilon), currents + network.b(l), activity, sent
        )
        free = settled.free_phase(network.above(l), sent, epsilon, running=True)
        return 1e3 * activity / network.neuron.gain if self._setting.spiking else activity, free.drive[-1]

    def learn(
        self, network: Network, inputs: Inputs, targets: np.ndarray, rng: np.random.Generator, frozen: frozenset[int],
        carried: Carried | None = None,
    ) -> Update:  # fmt: skip
        inputs, error_threshold = array_of(inputs), self._setting.feedback.threshold
        input_mask, *masks = dropout(self._setting, network, rng, len(inputs))
        free, sent = self._free(network, inputs, input_mask, masks), 0
        if self._adversary is not None:
            sent = free.events
            error = network.output.error(free.prediction, targets)
            inputs = self._adversary.examples(network, inputs, free, error)
            free = self._free(network, inputs, input_mask, masks)
        error = network.output.error(free.prediction, targets)
        if error_threshold:
            error[np.abs(error) <= error_threshold] = 0
            taught = np.flatnonzero(error.any(axis=1))
            if len(taught) < len(error) and not network.batch_norms:  # else what a sample teaches depends on all of them
                free, error, targets = free.keep(taught), error[taught], targets[taught]
        change, events, fed_back = settled_changes(
            network, self._setting, self._rule, free, error, targets, checked=not self._checked
        )  # fmt: skip
        self._checked = self._checked or len(error) > 0
        return settled.update(free, change, events + sent, frozen, error, fed_back)

    def _free(
        self, network: Network, inputs: np.ndarray, input_mask: np.ndarray | None, masks: list[np.ndarray | None]
    ) -> settled.FreePhase:
        """The free phase with dropout; input_mask: of the inputs, masks: of each hidden layer."""
        return settled.free_phase(network, _masked(inputs, input_mask), self._setting.network.threshold, masks)


class InTime(Settled):
    """Rate neurons with τ > 0, which relax, and send a graded event when they have moved by ε.

    The activity that `free_phase` gives is that of the settled network, to which they relax.
    """

    def read(self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None) -> np.ndarray:
        return timed.simulate(network, self._setting, array_of(inputs)).drive

    def free_phase(
        self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        activity, _ = super().free_phase(network, inputs, rng)
        return activity, self.read(network, inputs, rng)

    answer = _answer_in_time

    def learn(
        self, network: Network, inputs: Inputs, targets: np.ndarray, rng: np.random.Generator, frozen: frozenset[int],
        carried: Carried | None = None,
    ) -> Update:  # fmt: skip
        return timed.simulate(network, self._setting, array_of(inputs), targets)


class Spiking:
    """Spiking neurons under a rule for spikes. rate: the learning rate, where weights change while spikes pass."""

    def __init__(self, setting: Setting, rule: str, rate: float = 0.0) -> None:
        self._setting, self._rate = setting.under(rule), rate

    def read(self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None) -> np.ndarray:
        return spikes.simulate(network, self._setting, inputs, rng=rng, carried=carried).drive

    def free_phase(
        self, network: Network, inputs: Inputs, rng: np.random.Generator, carried: Carried | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        trial = spikes.simulate(network, self._setting, inputs, rng=rng, carried=carried)
        return [1e3 * count / self._setting.phases.free for count in trial.counts], trial.drive

    answer = _answer_in_time

    def learn(
        self, network: Network, inputs: Inputs, targets: np.ndarray, rng: np.random.Generator, frozen: frozenset[int],
        carried: Carried | None = None,
    ) -> Update:  # fmt: skip
        if self._setting.network.input_dropout:
            inputs = _masked(array_of(inputs), dropout(self._setting, network, rng, len(inputs))[0])
        return spikes.simulate(network, self._setting, inputs, targets, rng, self._rates(network, frozen), carried)

    def record(
        self, network: Network, inputs: Inputs, target: np.ndarray, rng: np.random.Generator, frozen: frozenset[int],
        times: np.ndarray | None = None, carried: Carried | None = None,
    ) -> spikes.Recording:  # fmt: skip
        """One trial of `learn` in detail. inputs: (n_features + 1,); target: (n_out,); times: when states are recorded, ms."""
        return spikes.record(network, self._setting, inputs, target, rng, times, self._rates(network, frozen), carried)

    def _rates(self, network: Network, frozen: frozenset[int]) -> list[float]:
        return [0.0 if q in frozen else self._rate for q in range(len(network.projections))]


def engine(setting: Setting, rule: str, rate: float = 0.0, adversary: FastSign | None = None) -> Engine:
    """The engine of a setting under a rule. Exact rules are those of the settled network.

    rate: the learning rate of weights that change while spikes pass; 0 keeps them as they are, whatever the setting says.
    adversary: makes the examples of adversarial training; without it mini-batches are learned as they are.

    Raises
    ------
    ForkError
        Nothing can be simulated in this process.
    """
    forked.check()
    name = setting.engine_of(rule)
    if name == "spiking":
        return Spiking(setting, rule, rate if setting.phases.update == "online" else 0.0)
    return InTime(setting, rule) if name == "timed" else Settled(setting, rule, adversary)


def settled_rule(network: Network, setting: Setting, rule: str) -> settled.Rule:
    """The object by which a rule teaches a settled network; see `localdfa.rules`."""
    model = registry.get("rules", rule)
    return model(network, setting.phases, setting.parameters_of(rule))


def settled_changes(
    network: Network, setting: Setting, rule: str, free: settled.FreePhase, error: np.ndarray, target: np.ndarray,
    directions: bool = False, checked: bool = True,
) -> tuple[list[np.ndarray], int, int]:  # fmt: skip
    """The postsynaptic change of each layer under a rule, and the numbers of events and of feedback events.

    See `core.rate.settled.post_changes`. What is fed back counts in each nudged phase anew.

    A hidden layer that learns by a rule of its own, `Network.apart`, changes as it would if all layers learned by that rule:
    each rule brings its own signal through its own pathway. So back-propagation reaches it as the gradient of the loss itself,
    whatever the layers above learn by.
    """
    if not network.apart:
        change, events = settled.post_changes(
            network, settled_rule(network, setting, rule), free, error, target, directions, checked=checked
        )  # fmt: skip
        return change, events, _phases(setting, rule) * settled.feedback_events(network, free, error, target, change)
    rules = {l: wiring.rule for l, wiring in network.apart.items()}
    others = frozenset(range(network.n_hidden)) - frozenset(rules)
    of_stage = replace(network, apart={})
    model = settled_rule(of_stage, setting, rule)
    change, events = settled.post_changes(of_stage, model, free, error, target, directions, others, checked)
    fed_back = _phases(setting, rule) * settled.feedback_events(of_stage, free, error, target, change, others)
    for name in dict.fromkeys(rules.values()):
        layers = frozenset(l for l, rule_of_l in rules.items() if rule_of_l == name)
        wired = network.by_layer(min(layers))
        change_by_rule, sent = settled.post_changes(
            wired, settled_rule(wired, setting, name), free, error, target, directions, layers, checked
        )  # fmt: skip
        fed_back += _phases(setting, name) * settled.feedback_events(wired, free, error, target, change_by_rule, layers)
        for l in layers:
            change[l] = change_by_rule[l]
        events += sent
    return change, events, fed_back


def _phases(setting: Setting, rule: str) -> int:
    """In how many phases a rule has the signal come to the hidden layers."""
    if not registry.get("rules", rule).needs_phases:
        return int(derived.teaches_hidden(rule))
    return 2 if setting.phases.nudging == "centered" else 1


def _masked(inputs: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Inputs (m, n_in + 1) times a mask (m, n_in), if there is one; the last column stays ones."""
    if mask is None:
        return inputs
    masked = inputs.copy()
    masked[:, :-1] *= mask
    return masked


def dropout(setting: Setting, network: Network, rng: np.random.Generator, m: int) -> list[np.ndarray | None]:
    """The dropout of a mini-batch of m samples: for the inputs and each hidden layer an array (m, n), or None without dropout.

    An entry is 0 with the layer's probability p, else 1/(1 − p) (Srivastava et al. 2014).
    """
    spec, number = setting.network, network.dtype.type
    masks: list[np.ndarray | None] = []
    for n, p in zip(network.sizes[:-1], [spec.input_dropout] + [spec.dropout] * network.n_hidden, strict=True):
        masks.append((rng.random((m, n), np.float32) >= p) * number(1 / (1 - p)) if p else None)
    return masks
