"""From a setting and a seed to a network: sizes, weights and feedback matrices. No dynamics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from localdfa import inputs, registry
from localdfa.core.rate.normalisation import BatchNorm
from localdfa.errors import SpecError
from localdfa.geometry import Geometry, lay_out
from localdfa.outputs import Output
from localdfa.spec import Setting
from localdfa.spec.matrices import useless_rank
from localdfa.spec.tables import GIVEN
from localdfa.topology import Projection, wire
from localdfa.weights import Weights

if TYPE_CHECKING:
    from localdfa.feedback._pathway import Pathway
    from localdfa.spec.tables import FeedbackTable

# Streams of random numbers, one a purpose: (seed, stream, layer) always gives the same numbers, so that conditions that
# share a seed share initial weights, B and the order of the samples.
(
    WEIGHTS, FEEDBACK, ORDER, NOISE, VALIDATION, PROBE, SYNAPSES, START, WATCHED, WATCHED_AGAIN, INPUTS, SIGNS, BOTTLENECK,
) = range(13)  # fmt: skip

# So many weights are drawn at a time.
_DRAWN = 2**20


def generator(seed: int, stream: int, part: int = 0) -> np.random.Generator:
    """The random numbers of one purpose."""
    return np.random.default_rng([seed, stream, part])


class Wiring(NamedTuple):
    """The way of the error under one rule: its name, its pathway, and B of each hidden layer, or None."""

    rule: str
    pathway: type["Pathway"]
    feedback: list[np.ndarray | None]


@dataclass
class Network:
    """A network of rate or spiking neurons: layers that each reach the next and, of spiking neurons, further projections.

    sizes: (n_in, hidden …, n_out). geometry: of each projection that is a convolution, None of a dense one. neuron: the
    parameters of the hidden neurons, in the network's precision. output: its model (`localdfa.outputs`).
    projections: from each layer to the next, then any others. weights: for each projection an array (n_pre + 1, n_post), one
    row a presynaptic neuron, the biases last (without them where the projection has none); of a convolution one row a
    synapse of its kernels, and columns as `Geometry.synapses` says; of a sparse projection one row of all synapses by
    presynaptic neuron, then the biases. pathway: the feedback pathway; feedback: its matrix B for each hidden layer, or None.
    shape: of a sample. start: v of each spiking layer (n_l,) at the onset of a trial, or None for the reset. inherited: where
    B is handed over, as from another run, its pathway and B by layer from 0. apart: of hidden layers, from 0, that learn by
    a rule of their own, the way of the error under it; the pathway and feedback are then those of the others. input_feedback:
    B_0 (n_in, n_out), through which the error reaches the inputs, or None; adversarial examples may be made by it. changing:
    the B of each hidden layer by the name of their pathway, where they change while the network learns: there is one of them,
    which all networks with these weights share.
    batch_norms: of each hidden layer, where drives are normalised over mini-batches; biases are then shifts. Else empty.
    reached: of hidden layers, from 0, of which the signal reaches some neurons alone, (n_l,) of 1 for these and 0.
    """

    sizes: tuple[int, ...]
    geometry: tuple[Geometry | None, ...]
    neuron: Any
    output: Output
    weights: Sequence[np.ndarray]
    pathway: type["Pathway"]
    feedback: list[np.ndarray | None]
    projections: tuple[Projection, ...]
    shape: tuple[int, ...]
    start: list[np.ndarray] | None = None
    inherited: tuple[type["Pathway"] | None, dict[int, np.ndarray]] = (None, {})
    apart: Mapping[int, Wiring] = field(default_factory=dict)
    input_feedback: np.ndarray | None = None
    changing: dict[str, list[np.ndarray | None]] = field(default_factory=dict)
    batch_norms: tuple[BatchNorm, ...] = ()
    reached: Mapping[int, np.ndarray] = field(default_factory=dict)

    @property
    def learned(self) -> list[np.ndarray]:
        """All that learning changes: the weights of each projection, then the gain of each layer that is normalised."""
        return [*self.weights, *(norm.gain for norm in self.batch_norms)]

    @property
    def averages(self) -> list[np.ndarray]:
        """The running averages, means and then variances, of the layers that are normalised."""
        return [array for norm in self.batch_norms for array in (norm.mean, norm.variance)]

    def norm(self, l: int) -> BatchNorm | None:
        """How the drives of layer l are normalised (0 the first hidden), or None."""
        return self.batch_norms[l] if l < len(self.batch_norms) else None

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.sizes) - 2

    def synapses(self, l: int) -> tuple[int, int]:
        """Shape of the forward weights of projection l without their biases."""
        n_rows, n_columns = self.weights[l].shape
        return n_rows - 1, n_columns

    def keep_signs(self) -> None:
        """Have weights that learning has carried across zero stop there, where Dale's law holds."""
        for joint, weights in zip(self.projections, self.weights, strict=True):
            if joint.exciting is not None:
                excite, inhibit = joint.by_sign(weights)
                np.maximum(excite, 0, out=excite)
                np.minimum(inhibit, 0, out=inhibit)

    @property
    def layered(self) -> bool:
        """Whether all synapses lead from one layer to the next and have biases, so that the network can settle."""
        return len(self.projections) == len(self.sizes) - 1

    def as_layers(self) -> "Network":
        """The same network with an array of all pairs for every projection, zero where there is no synapse."""
        joints = zip(self.projections, self.weights, self.sizes[1:], strict=True)
        return replace(self, weights=[joint.dense(w, n) for joint, w, n in joints])

    @property
    def names(self) -> list[str]:
        """Of each projection the layer that it reaches, from 1, or p and q of a further one, as 1to1."""
        return [str(q + 1) if q <= self.n_hidden else f"{p.pre}to{p.post}" for q, p in enumerate(self.projections)]

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.weights[0].dtype

    def above(self, l: int) -> "Network":
        """All that hidden layer l (0 the first), of dense layers, reaches; its inputs are the activity of layer l."""
        joints = self.projections[l + 1 : self.n_hidden + 1]
        return replace(
            self,
            sizes=self.sizes[l + 1 :],
            geometry=self.geometry[l + 1 :],
            weights=list(self.weights[l + 1 : self.n_hidden + 1]),
            projections=tuple(replace(joint, pre=joint.pre - l - 1, post=joint.post - l - 1) for joint in joints),
            shape=(self.sizes[l + 1],),
            start=None if self.start is None else self.start[l + 1 :],
            feedback=self.feedback[l + 1 :],
            batch_norms=self.batch_norms[l + 1 :],
            apart={},
            reached={},
        )

    def from_layer(self, l: int) -> "Network":
        """Hidden layer l (0 the first), of dense layers, and all that it reaches.

        An input is a current into one neuron of layer l, beside its bias.
        """
        n, first, above = self.sizes[l + 1], self.projections[l], self.above(l)
        currents = np.concatenate([np.eye(n, dtype=self.dtype), self.b(l)[None]])
        return replace(
            above,
            sizes=(n, *above.sizes),
            geometry=(None, *above.geometry),
            weights=[currents, *above.weights],
            projections=(
                Projection(0, 1, first.delay, first.tau),
                *(replace(joint, pre=joint.pre + 1, post=joint.post + 1) for joint in above.projections),
            ),
            start=None if self.start is None else self.start[l:],
            feedback=self.feedback[l:],
        )

    def by_layer(self, l: int) -> "Network":
        """The same network with the pathway and B by which hidden layer l learns, for all layers."""
        if l not in self.apart:
            return replace(self, apart={})
        own = self.apart[l]
        return replace(self, pathway=own.pathway, feedback=own.feedback, apart={})

    @property
    def matrices(self) -> list[np.ndarray | None]:
        """B of each hidden layer under the rule by which that layer learns, or None."""
        return [self.by_layer(l).feedback[l] for l in range(self.n_hidden)]

    @cached_property
    def feedback_fans(self) -> list[np.ndarray | None]:
        """For each hidden layer how many entries of its B that are not zero a unit of its source reaches, (width,), or None.

        Entries that lead to neurons that the signal does not reach are left out. Of a kernel, in the place of a convolution,
        (positions, channels): its entries outside of the map reach nothing.
        """
        fans = []
        for l, matrix in enumerate(self.feedback):
            source = self.pathway.source(self, l)
            fields = None if source is None else self.geometry[source]
            if matrix is None or fields is None:
                own = self.reached[l] > 0 if l in self.reached else slice(None)
                fans.append(None if matrix is None else np.count_nonzero(matrix[own], axis=0))
                continue
            there, inside = (matrix != 0).astype(np.int64), fields.inside().astype(np.int64)
            by_position = there.reshape(len(there), -1, fields.channels)  # one kernel, or one of each position
            fans.append(inside @ by_position[:, 0] if fields.shared else np.einsum("pk,kpc->pc", inside, by_position))
        return fans

    def W(self, l: int) -> np.ndarray:
        """Forward weights into layer l (0 the first hidden), a view W[post, pre]; a copy where they are sparse."""
        return self.projections[l].dense(self.weights[l], self.sizes[l + 1])[:-1].T

    def b(self, l: int) -> np.ndarray:
        """Biases of layer l, a view (n_post,); of a convolution one a kernel, which are more where positions have their own."""
        biases = self.weights[l][-1]
        return biases if self.geometry[l] is not None else biases[-self.sizes[l + 1] :]

    def B(self, l: int) -> np.ndarray:
        """The feedback matrix of a hidden layer that has one, (n_l, width of its source)."""
        matrix = self.feedback[l]
        assert matrix is not None
        return matrix

    def predict(self, drive: np.ndarray) -> np.ndarray:
        """Output activity ŷ of the drive a_y, both (m, n_out)."""
        return self.output.predict(self.neuron, drive)

    def loss(self, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The loss of each sample, (m,), from drive a_y and targets, both (m, n_out)."""
        return self.output.loss(self.neuron, drive, target)


def build(setting: Setting, n_in: int | tuple[int, ...], n_out: int, seed: int) -> Network:
    """The network of one condition and seed before training; n_in: number of inputs, or the shape of a sample.

    Raises
    ------
    SpecError
        A convolution, one_to_one or an input code does not fit on samples of this shape, a sparse B has no entry at all, or B
        has no more dimensions than it may.
    """
    if setting.network.weights == GIVEN:
        raise SpecError(
            f"network.weights: {GIVEN!r} are those of a script, which gives them: localdfa.run(..., weights={{'W1': ..., ...}})"
        )
    shape = (n_in,) if isinstance(n_in, int) else tuple(n_in)
    if setting.spiking:
        code = registry.get("inputs", setting.input.code)
        if code.series and len(shape) != 2:
            raise SpecError(
                f"input.code: {setting.input.code!r} needs samples of shape (frames, channels), not {shape}; a file of your "
                f"own says that it has them by the entry axes = 'samples frames channels'"
            )
        n_in = inputs.n_in(code, shape, setting.input)
    sizes, geometry = lay_out(setting, n_in, n_out)
    neuron = registry.cast(setting.neuron_parameters, np.dtype(setting.precision).type)
    projections = wire(setting.network, sizes, lambda q: generator(seed, SYNAPSES, q))
    fans, shapes = [], []
    for q, joint in enumerate(projections):
        fields = geometry[q] if q < len(geometry) else None
        fans.append((sizes[joint.pre], sizes[joint.post]) if fields is None else fields.synapses)
        shapes.append(_shape(joint, *fans[-1]))
    weights = Weights.empty(shapes, setting.precision)
    for q, joint in enumerate(projections):
        _draw(weights[q], setting, joint, fans[q], q, seed)
        if joint.exciting is not None:
            _balance(joint, weights[q], sizes[joint.pre])
    pathway = registry.get("feedback", setting.pathway_of(setting.rule))
    network = Network(sizes, geometry, neuron, setting.output, weights, pathway, [], projections, shape)
    to_inputs = None
    if setting.adversarial.gradient == "feedback":
        ends = sizes[0], sizes[-1]
        to_inputs = random_matrix(setting.feedback, generator(seed, INPUTS), ends, ends, sizes[0], generator(seed, SIGNS))
        to_inputs = to_inputs.astype(setting.precision)
    network = replace(network, start=_start(setting, network, seed), input_feedback=to_inputs)
    if setting.network.batch_norm:
        channels = [n if fields is None else fields.channels for n, fields in zip(sizes[1:-1], geometry, strict=False)]
        network = replace(network, batch_norms=tuple(BatchNorm.new(n, setting.precision) for n in channels))
    network = rewired(replace(network, reached=_reached(setting, sizes, seed)), setting, setting.rule, seed)
    if setting.initial_weights == "aligned":
        _align(network, setting.network.scale)
    drawn = [to_inputs, *network.feedback]
    rank, most = setting.feedback.rank, max((min(b.shape) for b in drawn if b is not None), default=0)
    if rank is not None and 0 < most <= rank:
        raise SpecError(useless_rank(rank, most))
    return network


def rewired(
    network: Network, setting: Setting, rule: str, seed: int, layer_rules: Mapping[int, str] | None = None
) -> Network:  # fmt: skip
    """The same neurons and weights, shared, with the feedback pathway of a rule; layer_rules: of layers with others, from 0."""
    own = layer_rules or {}
    apart = {name: _wiring(network, setting, name, seed) for name in own.values()}
    of_all = _wiring(network, setting, rule, seed)
    return replace(network, pathway=of_all.pathway, feedback=of_all.feedback, apart={l: apart[name] for l, name in own.items()})


def _wiring(network: Network, setting: Setting, rule: str, seed: int) -> Wiring:
    name = setting.pathway_of(rule)
    pathway = registry.get("feedback", name)
    if name in network.changing:
        return Wiring(rule, pathway, network.changing[name])
    feedback = first_feedback(network, setting, pathway, seed)
    if setting.feedback_changes(rule):
        network.changing[name] = feedback
        strict = setting.normalises_strictly(rule)
        if pathway.follows() or strict:
            from localdfa.feedback._changes import follow  # which imports compiled functions, and who only looks needs none

            drawn = first_feedback(network, setting, pathway, seed)  # arrays of their own, as those above are written into
            wired = replace(network, pathway=pathway, feedback=feedback, apart={})
            follow(wired, drawn, strict, generator(seed, FEEDBACK, network.n_hidden))
    return Wiring(rule, pathway, feedback)


def first_feedback(network: Network, setting: Setting, pathway: type["Pathway"], seed: int) -> list[np.ndarray | None]:
    """B of each hidden layer before anything is learned, new arrays: as it was handed over, else as it is drawn; or None.

    Of a pathway that makes B anew from the weights, what is handed over are its sizes. Where a weight was zero it had none
    there, and has that which is drawn.

    Raises
    ------
    SpecError
        B that was handed over has more dimensions than a pathway keeps, which would make another one of it.
    """
    found = [_feedback(setting, network, pathway, l, seed) for l in range(network.n_hidden)]
    of, inherited = network.inherited
    if of is not pathway:
        return found
    rank = setting.feedback.rank if "rank" in pathway.keeps else None
    for l, matrix in inherited.items():
        if rank is not None and (dimensions := int(np.linalg.matrix_rank(matrix))) > rank:
            raise SpecError(
                f"feedback.rank: {rank}, and the B{l + 1} that training starts from has {dimensions} dimensions; allowed: "
                f"matrices of at most {rank}, or leave feedback.rank out"
            )
        begun, drawn = matrix.astype(setting.precision), found[l]
        assert drawn is not None  # as it has the same shape
        found[l] = np.where(begun == 0, drawn, begun) if pathway.follows() else begun
    return found


def handed_over(
    network: Network, setting: Setting, seed: int, found: Mapping[str, np.ndarray], pathway: str, where: str
) -> Network:
    """A network that starts from the weights and B of another run, which may be of another kind of neurons.

    found: W1 [post, pre], b1, B1 …, as a run keeps them. Projections that it lacks beyond those from layer to layer stay as
    they are. B is taken over where the pathway of a rule is that of the run, `pathway`; where that has none, it is that of the
    network. where: the key and the file, for messages.

    Raises
    ------
    SpecError
        The layers or synapses of the run are not those of the network, or a number is not finite.
    """

    def needed(key: str, shape: tuple[int, ...]) -> np.ndarray:
        array = found.get(key)
        if array is None or array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            what = "is missing" if array is None else f"is {array.dtype} of shape {array.shape}"
            raise SpecError(f"{where}: {key} {what}; this network needs finite numbers of shape {shape}")
        return array

    if extra := {key for key in found if key.startswith("W")} - {f"W{name}" for name in network.names}:
        raise SpecError(f"{where}: {min(extra)} is of a projection that this network does not have")
    weights = Weights.empty([own.shape for own in network.weights], network.dtype)
    for q, (joint, own, name) in enumerate(zip(network.projections, network.weights, network.names, strict=True)):
        if q > network.n_hidden and f"W{name}" not in found:
            weights[q][...] = own
            continue
        table = np.zeros_like(joint.dense(own, network.sizes[joint.post]))
        n_pre, n_post = len(table) - joint.biased, table.shape[1]
        if f"pre{name}" in found:
            pre, post = joint.ends_of_synapses or (np.empty(0), np.empty(0))
            if not (np.array_equal(found[f"pre{name}"], pre) and np.array_equal(found.get(f"post{name}", ()), post)):
                raise SpecError(f"{where}: W{name} has other synapses than this network")
            table[pre, post] = needed(f"W{name}", pre.shape)
        else:
            table[:n_pre] = needed(f"W{name}", (n_post, n_pre)).T
        if joint.biased:
            table[n_pre] = needed(f"b{name}", (n_post,))
        weights[q][...] = joint.by_synapse(table)
        if not np.array_equal(joint.dense(weights[q], network.sizes[joint.post]), table):
            raise SpecError(f"{where}: W{name} has synapses that this network does not have")
        if not joint.keeps_signs(weights[q]):
            raise SpecError(
                f"{where}: W{name} has neurons whose weights are not of one sign, or of another than network.dale and "
                f"network.inhibitory ask for; allowed: of the first {joint.exciting} neurons ≥ 0, of others ≤ 0"
            )
    model, inherited = registry.get("feedback", pathway), dict[int, np.ndarray]()
    for l in range(network.n_hidden):
        shape = model.shape(network, l)
        if shape is not None and model.widths(network, l) is not None:
            inherited[l] = needed(f"B{l + 1}", shape)
    to_inputs = network.input_feedback
    if to_inputs is not None and "B0" in found:
        to_inputs = needed("B0", to_inputs.shape).astype(network.dtype)
    batch_norms = []
    for l, norm in enumerate(network.batch_norms):
        arrays = [needed(f"{name}{l + 1}", norm.mean.shape).astype(network.dtype) for name in ("gain", "mean", "variance")]
        batch_norms.append(BatchNorm(arrays[0][None], *arrays[1:]))
    if not batch_norms and "gain1" in found:
        raise SpecError(f"{where}: its layers are normalised; allowed with it: network.batch_norm = true")
    network = replace(
        network,
        weights=weights,
        inherited=(model, inherited) if inherited else network.inherited,
        input_feedback=to_inputs,
        # B that changes is made of what is handed over, and not that of the network before.
        changing={},
        batch_norms=tuple(batch_norms),
    )
    return rewired(network, setting, setting.rule, seed)


def in_precision(network: Network, dtype: npt.DTypeLike) -> Network:
    """A copy of a network in another precision."""
    weights = Weights.empty([w.shape for w in network.weights], dtype)
    for copy, own in zip(weights, network.weights, strict=True):
        copy[...] = own

    copies: dict[int, np.ndarray] = {}  # of each array one, so that B that changes is still the same wherever it stands

    def cast(feedback: list[np.ndarray | None]) -> list[np.ndarray | None]:
        return [None if b is None else copies.setdefault(id(b), b.astype(dtype)) for b in feedback]

    return replace(
        network,
        neuron=registry.cast(network.neuron, np.dtype(dtype).type),
        weights=weights,
        feedback=cast(network.feedback),
        apart={l: own._replace(feedback=cast(own.feedback)) for l, own in network.apart.items()},
        input_feedback=cast([network.input_feedback])[0],
        changing={name: cast(feedback) for name, feedback in network.changing.items()},
        batch_norms=tuple(norm.astype(dtype) for norm in network.batch_norms),
        reached={l: reached.astype(dtype) for l, reached in network.reached.items()},
    )


def _reached(setting: Setting, sizes: tuple[int, ...], seed: int) -> dict[int, np.ndarray]:
    """`Network.reached`: of fewer neurons some of those that the signal reaches where they are more."""
    found = {}
    for layer, number in setting.feedback.bottleneck.items():
        l = int(layer) - 1
        order = generator(seed, BOTTLENECK, l).permutation(sizes[l + 1])
        found[l] = (order.argsort() < number).astype(setting.precision)
    return found


def _align(network: Network, scale: float) -> None:
    """Make the weights above the first layer of B, so that back-propagation would bring what B does where slopes are 1.

    W_Lᵀ ∝ B_{L−1}, and below W_{l+1}ᵀ ∝ B_l B_{l+1}⁺, so that W_{l+1}ᵀ B_{l+1} e ∝ B_l e for every error e. Where B are
    orthogonal, W_{l+1} ∝ B_{l+1} B_lᵀ, as of the aligned weights of Refinetti et al. 2021; Launay et al. 2019 find weights like
    these from the signals of one mini-batch. Their rank is at most n_out, their root mean square that of U(±scale/√fan_in).
    """
    for l in range(network.n_hidden):
        above = np.asarray(network.B(l), np.float64)
        if l + 1 < network.n_hidden:
            above = above @ np.linalg.pinv(np.asarray(network.B(l + 1), np.float64))
        size = scale / np.sqrt(3 * len(above))
        network.weights[l + 1][:-1] = above * (size / np.sqrt(np.mean(above**2)))


def _shape(joint: Projection, n_pre: int, n_post: int) -> tuple[int, int]:
    """Shape of the weights of a projection with such fans; see `Network`."""
    if joint.n_synapses is None:
        return n_pre + joint.biased, n_post
    return 1, joint.n_synapses + joint.biased * n_post


def _draw(weights: np.ndarray, setting: Setting, joint: Projection, fans: tuple[int, int], q: int, seed: int) -> None:
    """Zero, or W and b ~ U(±scale/√fan_in) (Nøkland 2016, section 4: scale 1), or what the projection's own table says.

    fans: fan-in and number of columns of a projection that joins all.
    """
    fan_in, n_post = fans
    pair = next((t for t in setting.network.projection if (t.pre, t.post) == (joint.pre, joint.post)), None)
    kind, scale = setting.initial_weights, setting.network.scale
    if pair is not None:
        kind, scale = (kind, scale) if pair.weights == "auto" else (pair.weights, 1.0)
        scale = scale if pair.scale is None else pair.scale
    flat = weights.reshape(-1)
    if kind not in ("uniform", "aligned"):
        flat[:] = 0 if kind == "zero" else scale
        if joint.biased:
            flat[-n_post:] = 0
        return
    mean_fan_in = float(fan_in) if joint.n_synapses is None else max(1.0, joint.n_synapses / n_post)
    bound, rng = abs(scale / np.sqrt(mean_fan_in)), generator(seed, WEIGHTS, q)
    # Weights are drawn in blocks: drawing all at once would need float64 temporaries twice the size of the weights.
    for start in range(0, flat.size, _DRAWN):
        part = flat[start : start + _DRAWN]
        part[:] = rng.uniform(-bound, bound, part.size)


def _balance(joint: Projection, weights: np.ndarray, n_pre: int) -> None:
    """Give weights that were drawn around zero the signs of Dale's law.

    Those that excite become smaller by √(n_I/n_E) and those that inhibit larger, so that of all that reach a neuron the mean is
    zero and the variance what it was (balanced, as in van Vreeswijk & Sompolinsky 1996).
    """
    excite, inhibit = joint.by_sign(weights)
    n_excite = joint.exciting or 0
    ratio = np.sqrt((n_pre - n_excite) / n_excite) if n_excite < n_pre else 1.0
    excite[...] = np.abs(excite) * ratio
    inhibit[...] = -np.abs(inhibit) / ratio


def _start(setting: Setting, network: Network, seed: int) -> list[np.ndarray] | None:
    """v of each spiking layer at the onset of a trial: U(v_reset, v_th), or None for the reset."""
    if not setting.spiking or setting.network.start == "reset":
        return None
    last = len(network.sizes) if network.output.spiking else -1
    return [_potentials(network, generator(seed, START, l), n) for l, n in enumerate(network.sizes[1:last])]


def _potentials(network: Network, rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(network.neuron.v_reset, network.neuron.v_th, n)


def started_anew(network: Network, rng: np.random.Generator) -> Network:
    """The same network, where trials begin at potentials drawn anew, if they were drawn at all."""
    if network.start is None:
        return network
    return replace(network, start=[_potentials(network, rng, v.size) for v in network.start])


def _feedback(setting: Setting, network: Network, pathway: type["Pathway"], l: int, seed: int) -> np.ndarray | None:
    """B of a hidden layer, or None where its pathway has none."""
    shape, widths = pathway.shape(network, l), pathway.widths(network, l)
    if shape is None or widths is None:
        return None
    all_widths = [pathway.widths(network, k) for k in range(network.n_hidden)]
    widest = max(receiver for receiver, _ in filter(None, all_widths))
    source = pathway.source(network, l)
    # What one unit sends has one sign in all layers that it reaches.
    signs = generator(seed, SIGNS, 0 if source is None else source + 1)
    if not setting.feedback.shared:
        matrix = random_matrix(setting.feedback, generator(seed, FEEDBACK, l), shape, widths, widest, signs)
    else:
        whole = max(network.sizes[1:-1]), shape[1]
        matrix = random_matrix(setting.feedback, generator(seed, FEEDBACK), whole, widths, widest, signs)[: shape[0]]
    return matrix.astype(setting.precision)


def feedback_bound(spec: "FeedbackTable", widths: tuple[int, int], widest: int) -> float:
    """g/√width, width as ``feedback.fan_out`` says; widths, widest: as of `random_matrix`."""
    receiver, sender = widths
    width = {"receiver": receiver, "sender": sender, "both": receiver * sender, "widest": widest, "none": 1}[spec.fan_out]
    return float(spec.gain / np.sqrt(width))


def random_matrix(
    spec: "FeedbackTable", rng: np.random.Generator, shape: tuple[int, int], widths: tuple[int, int], widest: int,
    signs: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """B ~ U(±g/√width) or N(0, g²/(3 width)), which has the same variance; width as ``feedback.fan_out`` says.

    With ``feedback.distribution = "orthogonal"`` its columns, or rows where they are fewer, are orthogonal and equally long,
    with this variance over all entries.

    With ``feedback.rank`` r, B = Q P, Q (·, r) and P (r, ·) drawn so that the entries of B have this variance, too (they
    learn under the pathway ``low_rank``).

    widths: of the layer that receives the feedback, and of its source; widest: of all layers that receive any. signs: draws the
    signs of the units that send. Kept entries of a sparse B are those of the dense one of the same seed, larger by 1/√density,
    so that the signal keeps its variance; with fewer of them, some of those that were kept with more.

    Raises
    ------
    SpecError
        B is so sparse that no entry is left.
    """
    bound = feedback_bound(spec, widths, widest)

    def draw(limit: float, shape: tuple[int, int]) -> np.ndarray:
        return rng.normal(0, limit / np.sqrt(3), shape) if spec.distribution == "normal" else rng.uniform(-limit, limit, shape)

    if spec.rank is not None and spec.rank < min(shape):
        # Of both factors the bound b for which the entries of their product, sums of `rank` products, have the variance of B.
        factor = np.sqrt(bound) * (3 / spec.rank) ** 0.25
        matrix = draw(factor, (shape[0], spec.rank)) @ draw(factor, (spec.rank, shape[1]))
    elif spec.distribution == "orthogonal":
        matrix = _orthogonal(rng, shape) * (bound * np.sqrt(max(shape) / 3))
    else:
        matrix = draw(bound, shape)
    if spec.signs == "sender":
        matrix = np.abs(matrix) * signs.permutation(np.resize([1.0, -1.0], shape[1]))
    if spec.density < 1:
        kept = _kept(spec.density, shape, rng)
        matrix = np.where(kept, matrix / np.sqrt(kept.mean()), 0.0)
    return matrix


def _orthogonal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A random matrix whose columns, or rows where they are fewer, are orthonormal (Mezzadri 2007, Notices AMS 54:592)."""
    long, short = max(shape), min(shape)
    q, r = np.linalg.qr(rng.normal(size=(long, short)))
    q = q * np.sign(np.diag(r))
    return q if shape[0] == long else q.T


def _kept(density: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Which entries of a sparse matrix are kept: this fraction of them, in each row as many as in any other or one more."""
    n_rows, size = shape[0], shape[0] * shape[1]
    count = round(density * size)
    if count == 0:
        raise SpecError(
            f"feedback.density: {density:g} leaves none of the {size} entries of a B of shape {shape}; allowed here: at least "
            f"{1 / size:g}"
        )
    in_row = np.full(n_rows, count // n_rows)
    in_row[rng.permutation(n_rows)[: count % n_rows]] += 1
    ranks = rng.random(shape).argsort(axis=1).argsort(axis=1)
    return ranks < in_row[:, None]
