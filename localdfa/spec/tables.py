"""The tables of a spec: names, types, units, bounds and defaults."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializeAsAny,
    Tag,
    create_model,
    model_validator,
)

from localdfa import registry
from localdfa.errors import SpecError, quoted
from localdfa.neurons import zero_or
from localdfa.outputs import Output
from localdfa.recorders import TAKEN
from localdfa.spec import derived, models

# The initial weights of a script, `localdfa.run(..., weights=…)`.
GIVEN: Final = "given"
# Times in ms that the simulations can tell apart from 0 and from each other: a trial lasts at most 3e6 ms and is reckoned in
# float64, and what happens once in every such time happens at most so often in it.
SHORTEST, LONGEST = 0.01, 1e6
Duration = Annotated[float, Field(ge=SHORTEST, le=LONGEST)]
Delay = Annotated[float, Field(ge=SHORTEST, le=1e4)]
SynapticTau = Annotated[float, Field(ge=0, le=1e3), AfterValidator(zero_or(0.1))]
Width = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Table(BaseModel):
    """Immutable, no unknown keys, no numbers given as text, nothing infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _text_keys(value: Any) -> Any:
    """A table whose keys may be numbers, as Python has them, with the texts that TOML has in their place."""
    return {str(k) if type(k) is int else k: v for k, v in value.items()} if isinstance(value, Mapping) else value


class Preprocess(Table):
    """What is done to the data before training."""

    validation: float = Field(
        0.0, ge=0, lt=1,
        description="fraction of the training set kept for validation; 0: the validation part that the data bring, if any",
    )  # fmt: skip
    standardise: bool = Field(
        False,
        description="mean 0 and standard deviation 1 over the training set, of each channel of images, of all other inputs "
        "together",
    )
    whiten: bool = Field(False, description="ZCA whitening with the statistics of the training set")
    whiten_epsilon: float = Field(1e-2, ge=1e-12, le=1e3, description="added to the eigenvalues when whitening")


class Augment(Table):
    """What is done to training images anew each time that they are learned from; all else sees their middle."""

    crop: int = Field(
        0,
        ge=0,
        le=10_000,
        description="height and width of a part that is cut out anywhere, which is what networks see; 0: as large as the image",
    )
    padding: int = Field(0, ge=0, le=10_000, description="zeros around the image before it is cropped")
    flip: bool = Field(False, description="half of the images are mirrored, left to right")

    @property
    def asked(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.crop or self.padding or self.flip)


class Convolution(Table):
    """A hidden layer of a convolution of stride 1 and the max-pooling of its drive."""

    channels: int = Field(ge=1, le=100_000, description="feature maps")
    kernel: int = Field(5, ge=1, le=1000, description="height and width of the kernel")
    padding: int = Field(2, ge=0, le=1000, description="zeros around the input")
    pool: int = Field(1, ge=1, le=1000, description="height and width of the pooling's window; 1 is none")
    stride: int = Field(1, ge=1, le=1000, description="of the pooling; its window if left out")
    shared: bool = Field(True, description="one kernel for all positions; false: each position has its own")

    @model_validator(mode="before")
    @classmethod
    def _side_by_side(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "stride" not in value and type(value.get("pool")) is int:
            return {**value, "stride": max(1, value["pool"])}
        return value


def _kind(layer: Any) -> str:
    return "(convolution)" if isinstance(layer, (Mapping, Convolution)) else "(width)"


# The tags, in brackets, stand in the location of an error; `load` leaves them out of its message.
Layer = Annotated[
    Annotated[Width, Tag("(width)")] | Annotated[Convolution, Tag("(convolution)")],
    Discriminator(_kind),
]


class ProjectionTable(Table):
    """Synapses besides those from each layer to the next, or what differs in those (spiking neurons)."""

    pre: int = Field(ge=0, le=100, description="population that sends: 0 the inputs, 1 the first hidden layer, and so on")
    post: int = Field(ge=1, le=101, description="population that receives: 1 the first hidden layer, …, last the output")
    connect: Literal["dense", "sparse", "one_to_one"] = Field("dense", description="which neurons are joined")
    probability: float = Field(0.1, gt=0, le=1, description="of a synapse between two neurons, where sparse")
    delay: Delay | None = Field(None, description="conduction delay, ms; network.delay if left out")
    tau_syn: SynapticTau | None = Field(None, description="of the synaptic current, ms; network.tau_syn if left out")
    weights: Literal["auto", "zero", "uniform", "constant"] = Field(
        "auto", description="initial weights: network.weights; zero; U(±scale/√fan_in); all equal to scale"
    )
    scale: float | None = Field(
        None,
        ge=-1e6,
        le=1e6,
        description="size of the initial weights, see weights; network.scale if both are left out, else 1",
    )
    plastic: bool = Field(True, description="whether these synapses learn")


class NetworkTable(Table):
    """The layers between the inputs and the targets."""

    hidden: list[Layer] = Field(
        [100], min_length=1, max_length=100, description="hidden layers: the width of a dense one, the table of a convolution"
    )
    neuron: str = Field(models.NEURON, description="neuron model of the hidden layers")
    output: str = Field(models.OUTPUT, description="output units and their loss: for labels, or for numbers (regression)")
    weights: Literal["auto", "zero", "uniform", "aligned", "given"] = Field(
        "auto",
        description="initial weights: zero; U(±scale/√fan_in); aligned, above the first layer such that back-propagation "
        "would bring what B does where slopes are 1, of the same size; given, those of a script; or zero where the rule can "
        "learn from zero, as the paper",
    )
    scale: float = Field(1.0, ge=1e-12, le=1e3, description="size of uniform and aligned initial weights, see weights")
    from_run: str | None = Field(
        None,
        min_length=1,
        max_length=4000,
        description="RUN/CONDITION: a finished run and a condition, from whose weights and B of the same seed training starts",
    )
    threshold: float = Field(
        0.0,
        ge=0,
        le=10,
        description="graded event threshold ε, in units of activity; 0 is exact; if left out, 0.01 where activity takes time "
        "(neuron.tau > 0 under the local rule)",
    )
    delay: Delay = Field(1.0, description="conduction delay, ms (neuron.tau > 0, or spiking neurons)")
    tau_syn: SynapticTau = Field(0.0, description="of the synaptic current, ms; 0: a spike moves v at once (spiking neurons)")
    start: Literal["reset", "uniform"] = Field(
        "reset", description="v at the onset of a trial: at the reset, or drawn between it and the threshold (spiking neurons)"
    )
    projection: list[ProjectionTable] = Field([], max_length=1000, description="further or other synapses (spiking neurons)")
    batch_norm: bool = Field(
        False,
        description="drives of hidden layers are normalised over the mini-batch, in evaluation by running averages, with a "
        "gain and a shift that are learned (neuron.tau = 0)",
    )
    dale: Literal["none", "hidden", "all"] = Field(
        "none",
        description="Dale's law, by which all that a neuron sends has one sign, also while it learns: of no neurons, of hidden "
        "ones, or of these and of inputs, which then excite; biases, and B, are free",
    )
    inhibitory: float = Field(
        0.2, gt=0, lt=1, description="fraction of each hidden layer that inhibits, its last neurons, where network.dale is kept"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="probability that a hidden neuron is left out of a mini-batch")
    input_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="probability that an input is left out of a mini-batch (settled, or currents into spiking neurons)",
    )


class FeedbackTable(Table):
    """The pathway of the error and its fixed random matrices.

    DRAWN: the keys that say how a random matrix B is drawn.
    """

    DRAWN: ClassVar[tuple[str, ...]] = ("distribution", "fan_out", "gain", "density", "rank", "signs", "shared")

    pathway: str | None = Field(None, description="how the error reaches the hidden layers; the rule's own if left out")
    distribution: Literal["uniform", "normal", "orthogonal"] = Field(
        "uniform",
        description="of the entries of B, of equal variance; orthogonal: normal, then columns, or rows where they are fewer, "
        "made orthogonal and equally long",
    )
    fan_out: Literal["receiver", "sender", "both", "widest", "none"] = Field(
        "receiver",
        description="B scales with 1/√width: of the layer that receives the feedback, of its source, of both (their product), "
        "or of the widest layer that receives any; or with none",
    )
    gain: float = Field(1.0, ge=1e-12, le=1e3, description="factor on B")
    density: float = Field(
        1.0,
        gt=0,
        le=1,
        description="fraction of the entries of B that are kept, the same number in each row as far as possible; they are "
        "scaled by 1/√density, so that the variance stays",
    )
    rank: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="B = Q P with random Q and P, through so few dimensions, which learn under the pathway low_rank; where B "
        "has no more, it is drawn as without",
    )
    signs: Literal["free", "sender"] = Field(
        "free", description="of B; sender: all that one unit sends has one sign, + of one half of the units and − of the other"
    )
    shared: bool = Field(
        False, description="one B for all hidden layers, of which each takes as many rows as it has neurons, from the first on"
    )
    bottleneck: Annotated[dict[str, Annotated[int, Field(ge=1, le=1_000_000)]], BeforeValidator(_text_keys)] = Field(
        {},
        description="how many neurons of a hidden layer, by its number, the signal reaches, as { 2 = 18 }; the others, drawn "
        "at random, get none and pass none down (settled networks)",
    )
    normalisation: Literal["none", "strict"] = Field(
        "none", description="strict: before each mini-batch each B gets the norm of the weights that it stands in for"
    )
    mirror_rate: float = Field(
        1e-3, gt=0, le=1, description="ρ, the part of B that each phase of noise makes anew (weight mirrors)"
    )
    noise: float = Field(
        0.1,
        ge=1e-6,
        le=100,
        description="σ in a phase of noise: of the activity (weight_mirror), or of the drive (direct_weight_mirror)",
    )
    spread: bool = Field(
        False,
        description="the error of a node is passed on to its neighbours before it is sent to the taps (modules of graphs)",
    )
    threshold: float = Field(0.0, ge=0, lt=1, description="an output error no larger than this sends no event")
    signal: Literal["constant", "continuous", "spikes"] = Field(
        "constant",
        description="what brings the error to spiking neurons: a current, set after the free phase; a current that follows "
        "the output; or the spikes of pairs of error neurons",
    )
    interval: Delay = Field(1.0, description="between two readings of the error that is followed, ms")
    rate: float = Field(500.0, ge=0.1, le=1e4, description="of an error neuron where its error is 1, Hz")


class ModuleTable(Table):
    """A module of PyTorch in the place of layers; its own parameters stand beside its name."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="module")
    inside: Literal["none", "bp"] = Field(
        "none",
        description="what blocks between taps that have no local form learn by, under the rule local; none: these are refused",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where it is computed")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the module itself."""
        return self.model_extra or {}


# What a training loop of one's own predicts.
Predicts = Literal["labels", "numbers", "decisions", "pairs", "colours", "symbols"]


class LoopTable(Table):
    """A training loop of one's own, which has left the run (`localdfa.Log`); what else it says stands beside."""

    model_config = ConfigDict(extra="allow")

    predicts: Predicts = Field(
        description="what is predicted, which says what is measured: labels error; numbers RMSE and R²; decisions log-loss and "
        "AUC, pairs also average precision; colours RMSE, PSNR and SSIM; symbols bits"
    )


class Input(Table):
    """How the inputs reach spiking neurons."""

    code: str = Field(models.CODE, description="constant currents, or one of the codes that turn them into spikes")
    rate: float = Field(100.0, ge=0.1, le=1e4, description="of an input neuron where its input is 1, Hz (poisson)")
    window: float = Field(50.0, ge=0.1, le=1e5, description="of a latency, or of a frame, ms (latency, frames, changes)")
    step: float = Field(0.1, ge=1e-3, le=1e3, description="change of the input that makes a spike (changes)")
    lines: list[Annotated[float, Field(ge=0, le=1e5)]] = Field(
        [0.0],
        min_length=1,
        max_length=1000,
        description="delay lines, ms: each input neuron sends its spikes so much later by a neuron of their own (spikes)",
    )


class Phases(Table):
    """The trial under the local rule: a free phase, then one or two nudged phases."""

    beta: float = Field(
        0.1,
        ge=1e-8,
        le=100,
        description="nudging strength β; if left out, as the neuron model says. With a module the root mean square of the "
        "currents into a tap, in each sample",
    )
    nudging: Literal["one_sided", "centered"] = Field("centered", description="one phase at +β, or one at each of ±β")
    propagation: Literal["held", "two_compartment", "live"] = Field(
        "held", description="what the upper layers see, and synapses read, while the plasticity gate is open"
    )
    teacher: Literal["activity", "drive"] = Field("activity", description="where the output's teacher acts")
    free: Duration = Field(
        100.0, description="duration of the free phase, ms (in time); if left out, as long as traces, τ and delays need"
    )
    nudged: Duration = Field(
        20.0, description="duration of a nudged phase, ms (in time); if left out, as long as traces and τ need"
    )
    gate: Duration | None = Field(
        None, description="time the gate stays open from a nudged onset, ms (in time); all of it if left out"
    )
    update: Literal["after", "online"] = Field(
        "after", description="weights change after a mini-batch; or online, while spikes pass (spiking neurons, batch_size = 1)"
    )
    onset: Literal["rest", "carried"] = Field(
        "rest",
        description="a trial begins at rest; or carried, where the one before it ended, through mini-batches and epochs, which "
        "takes one core; what is evaluated or recorded is then a sequence of its own from rest (spiking neurons)",
    )

    @property
    def gate_duration(self) -> float:
        """How long the plasticity gate is open from a nudged onset, ms."""
        return self.nudged if self.gate is None else self.gate


class Trace(Table):
    """The traces that synapses of spiking neurons read: each jumps at a spike and decays exponentially."""

    tau_x: float = Field(40.0, ge=0.1, le=1e4, description="presynaptic traces and the readout, ms (spiking neurons)")
    tau_z: float = Field(40.0, ge=0.1, le=1e4, description="postsynaptic traces, ms (spiking neurons)")


class Optimiser(Table):
    """The optimiser; its own parameters (learning_rate, …) stand beside its name."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(models.OPTIMISER, description="optimiser")
    weight_decay: float = Field(0.0, ge=0, lt=1, description="λ in g + λ w; biases do not decay")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the optimiser itself."""
        return self.model_extra or {}


class Schedule(Table):
    """How the learning rate falls over the epochs of a stage; within an epoch it is constant."""

    kind: Literal["constant", "exponential", "step", "cosine"] = Field(
        "constant",
        description="times `factor` after each epoch (exponential) or every so many (step); or along half a cosine to `factor` "
        "of the rate after the last of `epochs` (cosine; Loshchilov & Hutter 2017, eq. 5)",
    )
    factor: float = Field(1.0, ge=0, le=1, description="by which the learning rate falls")
    every: int = Field(1, ge=1, le=100_000, description="epochs between two falls (step)")

    def part(self, epoch: int, epochs: int) -> float:
        """The part of the learning rate that is in force in an epoch of a stage, from 0, of so many."""
        if self.kind == "exponential":
            return float(self.factor**epoch)
        if self.kind == "step":
            return float(self.factor ** (epoch // self.every))
        if self.kind == "cosine":
            return self.factor + (1 - self.factor) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        return 1.0


class Adversarial(Table):
    """Adversarial training by the fast sign: mini-batches are learned from x + ε sign(∂L/∂x) in place of x."""

    strength: float = Field(
        0.0, ge=0, le=1, description="ε as a fraction of the range of the training inputs; 0 is none (settled networks)"
    )
    gradient: Literal["bp", "feedback"] = Field(
        "bp",
        description="at the inputs: the true one, by back-propagation; or the error through a random matrix B of the inputs",
    )


def _text_keys_within(value: Any) -> Any:
    """As `_text_keys`, also of the tables and lists within."""
    if isinstance(value, list):
        return [_text_keys_within(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _text_keys_within(entry) for key, entry in _text_keys(value).items()}


class Stage(Table):
    """A stretch of training under one rule, or under one for each layer."""

    epochs: int = Field(10, ge=1, le=100_000, description="passes through the training set")
    rule: str | None = Field(None, description="rule of this stage; the condition's if left out")
    layer_rules: Annotated[dict[str, str], BeforeValidator(_text_keys)] = Field(
        {}, description="rules of hidden layers that learn by another one, by layer, as { 1 = 'dfa' } (settled networks)"
    )
    frozen: list[int] = Field([], description="layers that keep their weights: 1 the first hidden, -1 the output")
    learning_rate: float | None = Field(None, gt=0, le=1e3, description="in place of the optimiser's")
    schedule: Schedule = Schedule()
    stop_at_error: float | None = Field(
        None, ge=0, le=100, description="stop at this training error, percent (outputs of labels)"
    )
    patience: int | None = Field(
        None, ge=1, le=100_000, description="stop after so many epochs without a smaller validation error"
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="weights to end with: of the last epoch, or of that with the smallest validation error; what the optimiser "
        "remembers, and states that trials carry on, stay those of the last epoch",
    )


class Record(Table):
    """What a run keeps besides its metrics: keys that several recorders read; each brings its own (see `record_table`)."""

    probe: int = Field(256, ge=1, le=100_000, description="training samples on which angles are measured each epoch")
    repeats: int = Field(
        1,
        ge=1,
        le=10_000,
        description="trials of each sample of the probe, with noise of their own, over which `mean_cosine_to_dfa` and "
        "`mean_cosine_to_settled` average updates (spiking neurons)",
    )
    train: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="training samples on which the training error is measured each epoch; all of them if left out",
    )
    checkpoint: int = Field(1, ge=1, le=100_000, description="epochs between checkpoints")
    neurons: list[Annotated[int, Field(ge=0, le=1_000_000)]] | None = Field(
        None,
        min_length=1,
        max_length=10_000,
        description="neurons of each population that has them of which states, and between which weight changes, are kept; the "
        "first three if left out",
    )

    recorders: ClassVar[tuple[str, ...]] = ()

    @property
    def asked(self) -> list[str]:
        """The recorders that are asked for: those whose key is neither 0 nor empty, and those that have none."""
        return [name for name in self.recorders if getattr(self, name, True)]

    def __reduce__(self) -> tuple[Any, ...]:
        return _record, (self.model_dump(exclude_unset=True),)


@cache
def record_table(recorders: tuple[str, ...]) -> type[Record]:
    """The table `record` with the keys that these recorders bring."""
    keys = dict[str, Any]()
    for name in recorders:
        if name in TAKEN:
            raise SpecError(f"record.{name}: {name!r} is what a run has of itself, and no name for a recorder; rename its file")
        of_recorder = registry.get("recorders", name).keys
        if of_recorder and name not in of_recorder:
            raise SpecError(
                f"record.{next(iter(of_recorder))}: the recorder {name!r} brings this key, and none that asks for it; "
                f"allowed: one that is called as its file, {name!r}"
            )
        if taken := set(of_recorder) & {*keys, *Record.model_fields, *dir(Record)}:
            raise SpecError(f"record.{min(taken)}: the recorder {name!r} brings this key, which is there already")
        keys |= of_recorder
    table = create_model("Record", __base__=Record, __module__=__name__, **keys)
    table.recorders = recorders
    return table


def _record(value: Any) -> Any:
    """The table `record` of whatever stands for it; recorders from outside of localdfa belong to it where it names them."""
    if not isinstance(value, Mapping):
        return value
    inside = registry.inside("recorders")
    elsewhere = {*registry.names("recorders")} - {*inside}
    # A recorder whose key is not called as it is is looked for only where there is a key that nothing else brings.
    left = {*value} - elsewhere - {*record_table((*inside,)).model_fields}
    outside = [name for name in sorted(elsewhere) if name in value or (left and left & {*registry.get("recorders", name).keys})]
    return record_table((*inside, *outside)).model_validate(value)


class Certify(Table):
    """What the certificate measures, and what it takes to hold (``localdfa certify``)."""

    epochs: list[Annotated[int, Field(ge=0, le=100_000)]] = Field(
        [0, 1, 5], min_length=1, max_length=100, description="epochs of training after which updates are compared"
    )
    samples: int = Field(256, ge=1, le=100_000, description="training samples on which updates are compared")
    betas: list[Annotated[float, Field(ge=1e-8, le=100)]] = Field(
        [1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001],
        min_length=3,
        max_length=100,
        description="nudging strengths; slopes are fitted where the error is ten times that of rounding and at most 1 %",
    )
    cosine: float = Field(
        0.999999, ge=0, le=1, description="least cosine between the local rule, as it trains, and exact DFA, in a hidden layer"
    )
    slope: float = Field(
        0.05, gt=0, le=10, description="most that the error's slope against β may fall short of 1 (one-sided) or 2 (centered)"
    )
    agreement: float = Field(
        1e-10, gt=0, le=1, description="most relative difference between the updates of Numba's and PyTorch's local rule"
    )
    error_difference: float = Field(
        0.1,
        ge=0,
        le=100,
        description="most difference of the test errors under local and dfa after any epoch, percentage points",
    )
    trials: int = Field(2, ge=1, le=1000, description="trials that Brian2 simulates as well (spiking neurons)")
    steps: list[Annotated[float, Field(ge=1e-4, le=10)]] = Field(
        [0.05, 0.025, 0.0125, 0.00625], min_length=3, max_length=20, description="of Brian2's clock, ms (spiking neurons)"
    )
    order: float = Field(
        0.5, ge=0, le=1, description="least order in the step with which differences from Brian2 vanish (spiking neurons)"
    )
    spike_time: float = Field(
        0.5, gt=0, le=1e3, description="most mean difference of spike times from Brian2 at its shortest step, ms"
    )
    spike_count: float = Field(
        0.01, gt=0, le=1, description="most spikes that one of both has alone, as a fraction, at Brian2's shortest step"
    )
    trace_error: float = Field(
        0.05, gt=0, le=10, description="most relative difference of traces from Brian2 at its shortest step, mean"
    )
    change_error: float = Field(
        0.15, gt=0, le=10, description="most relative difference of weight changes from Brian2 at its shortest step, mean"
    )
    windows: list[Annotated[float, Field(ge=0.1, le=1e6)]] = Field(
        [50.0, 100.0, 200.0, 400.0], min_length=1, max_length=20, description="durations of a nudge, ms (spiking neurons)"
    )
    batches: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(
        [16, 64, 256], min_length=1, max_length=20, description="samples that an update sums over (spiking neurons)"
    )
    nudges: list[Annotated[float, Field(ge=1e-8, le=100)]] = Field(
        [0.3, 1.0, 3.0, 10.0], min_length=1, max_length=20, description="nudging strengths (spiking neurons)"
    )
    spiking_cosine: float = Field(
        0.95, ge=0, le=1, description="least cosine to exact DFA of their f–I curve at the best setting (spiking neurons)"
    )
    theory: float = Field(
        0.05, gt=0, le=2, description="most difference of that cosine from theory's, in layers with constant currents"
    )


class Setting(Table):
    """All that one condition needs, apart from the data and the seed."""

    rule: str = Field(models.RULE, description="learning rule")
    rules: dict[str, dict[str, Any]] = Field({}, description="parameters of rules that have any, a table for each by its name")
    batch_size: int = Field(64, ge=1, le=100_000, description="samples a weight update sums over")
    augment: Augment = Augment()
    precision: Literal["float32", "float64"] = Field(models.PRECISION, description="of weights and activities")
    module: ModuleTable | None = Field(None, description="a module of PyTorch in the place of layers")
    loop: LoopTable | None = Field(None, description="a training loop of one's own, which this project does not run")
    network: NetworkTable = NetworkTable()
    neuron: dict[str, Any] = Field({}, description="parameters of the neuron model")
    feedback: FeedbackTable = FeedbackTable()
    input: Input = Input()
    phases: Phases = Phases()
    trace: Trace = Trace()
    optimiser: Optimiser = Optimiser()
    adversarial: Adversarial = Adversarial()
    stage: list[Stage] = Field([Stage()], min_length=1, max_length=1000)

    def rule_of(self, stage: Stage) -> str:
        """The rule that a stage trains with."""
        return stage.rule or self.rule

    def layer_rules_of(self, stage: Stage) -> dict[int, str]:
        """The rules of hidden layers, counted from 0, that learn by another one than the stage trains with."""
        return {int(layer) - 1: rule for layer, rule in stage.layer_rules.items()}

    def under(self, rule: str) -> "Setting":
        """The same setting with this rule for all of its stages that name none."""
        return self.model_copy(update={"rule": rule})

    def parameters_of(self, rule: str) -> Any:
        """The parameters of a rule, those that are left out with their defaults."""
        return registry.get("rules", rule).Parameters(**self.rules.get(rule, {}))

    def engine_of(self, rule: str) -> str:
        """The engine that trains under a rule: ``settled``, ``timed`` or ``spiking``."""
        return derived.engine_of(self, rule)

    def pathway_of(self, rule: str) -> str:
        """The feedback pathway under a rule."""
        return derived.pathway_of(self, rule)

    def normalises_strictly(self, rule: str) -> bool:
        """Whether each B is given the norm of the weights that it stands in for, under a rule."""
        return self.feedback.normalisation == "strict" and derived.takes_norms(self, rule)

    def feedback_changes(self, rule: str) -> bool:
        """Whether B changes while the network learns by a rule."""
        return self.normalises_strictly(rule) or bool(registry.get("feedback", self.pathway_of(rule)).changes())

    @property
    def initial_weights(self) -> str:
        """``zero``, ``uniform`` or ``aligned``, once ``auto`` is decided."""
        return derived.initial_weights(self)

    @property
    def epochs(self) -> int:
        """Those of all stages, where none of them stops early."""
        return sum(stage.epochs for stage in self.stage)

    @property
    def output(self) -> Output:
        """The model of the output (`localdfa.outputs`), or what judges the predictions of a module."""
        return derived.output(self)

    @property
    def computed_by(self) -> str:
        """The name of the neuron model of the hidden layers, or of the module in their place; ``loop`` of a loop's own."""
        if self.loop is not None:
            return "loop"
        return self.network.neuron if self.module is None else self.module.name

    @property
    def of_layers(self) -> bool:
        """Whether it is a network of layers, and not a module of PyTorch that this project or a loop of one's own trains."""
        return self.module is None and self.loop is None

    def without_threshold(self) -> "Setting":
        """The same setting with every event sent: what measurements compare with."""
        return self.model_copy(update={"network": self.network.model_copy(update={"threshold": 0.0})})

    def with_own_pathway(self) -> "Setting":
        """The same setting, in which each rule has the feedback pathway that it has where none is named."""
        return self.model_copy(update={"feedback": self.feedback.model_copy(update={"pathway": None})})

    def with_currents(self) -> "Setting":
        """The same setting, in which inputs are currents and trials begin at rest."""
        of_trials = {"phases": self.phases.model_copy(update={"onset": "rest"})}
        return self.model_copy(update={"input": self.input.model_copy(update={"code": "current"}), **of_trials})

    def held(self) -> "Setting":
        """The same setting, in which upper layers see the free activity while the gate is open."""
        return self.model_copy(update={"phases": self.phases.model_copy(update={"propagation": "held"})})

    @property
    def neuron_parameters(self) -> Any:
        """The parameters of the neuron model, those that are left out with their defaults."""
        return registry.get("neurons", self.network.neuron)(**self.neuron)

    @property
    def timed(self) -> bool:
        """Whether rate neurons have a time constant, so that a trial is simulated event by event in time."""
        return derived.tau(self) > 0

    @property
    def spiking(self) -> bool:
        """Whether the neurons spike, so that a trial under the local rule is simulated spike by spike."""
        return derived.spiking(self)

    @property
    def learns_from_spikes(self) -> bool:
        """Whether the last stage learns from spikes, which is then what a run can keep."""
        return derived.learns_from_spikes(self)


class Condition(Table):
    """One of the conditions to compare: a name, and what it changes in the tables of the experiment."""

    model_config = ConfigDict(extra="allow")

    name: Name

    @model_validator(mode="before")
    @classmethod
    def _as_in_toml(cls, value: Any) -> Any:
        """Numbers as keys, as of `stage.layer_rules` from Python, become texts at any depth."""
        return _text_keys_within(value)

    @property
    def changes(self) -> dict[str, Any]:
        """The keys of a setting that differ from the experiment's."""
        return self.model_extra or {}


class Experiment(Setting):
    """A whole experiment: one data set, some seeds, the conditions to compare."""

    title: str = Field("", max_length=200, description="what the experiment asks, in a line")
    data: str = Field("digits", max_length=4100, description="data set; of your own npz:PATH, or arrays, which a script gives")
    seeds: list[Seed] = Field([0], min_length=1, max_length=1000, description="one training for each")
    models: dict[str, list[Annotated[str, Field(min_length=1, max_length=4000)]]] = Field(
        {}, description="Python files of models of one's own, by kind: neurons, rules …; they are executed"
    )
    preprocess: Preprocess = Preprocess()
    record: Annotated[SerializeAsAny[Record], BeforeValidator(_record)] = Field(default_factory=lambda: _record({}))
    certify: Certify = Certify()
    condition: list[Condition] = Field([], max_length=1000)

    def __repr__(self) -> str:
        names, seeds = [condition.name for condition in self.condition] or [self.rule], self.seeds
        shown = ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:8])}, ... ({len(names)})"
        title = f"{self.title!r}, " if self.title else ""
        return f"Experiment({title}data={quoted(self.data)}, conditions: {shown}; seeds: {quoted(seeds)[1:-1]})"

    __str__ = __repr__
