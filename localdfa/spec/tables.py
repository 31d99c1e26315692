"""The tables of a spec: names, types, units, bounds and defaults."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from localdfa.spec import checks

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Table(BaseModel):
    """Immutable, no unknown keys, no numbers given as text, nothing infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Preprocess(Table):
    """What is done to the data before training."""

    validation: float = Field(0.0, ge=0, lt=1, description="fraction of the training set kept for validation")
    whiten: bool = Field(False, description="ZCA whitening with the statistics of the training set")
    whiten_epsilon: float = Field(1e-2, gt=0, le=1e3, description="added to the eigenvalues when whitening")


class NetworkTable(Table):
    """Fully connected layers between the inputs and the classes."""

    hidden: list[Width] = Field([100], min_length=1, max_length=100, description="width of each hidden layer")
    neuron: str = Field("tanh", description="neuron model of the hidden layers")
    output: Literal["logistic", "softmax"] = Field("logistic", description="output units, with their cross-entropy")
    weights: Literal["auto", "zero", "uniform"] = Field(
        "auto",
        description="initial weights: zero; U(±1/√fan_in); or zero where the rule can learn from zero, as the paper",
    )
    threshold: float = Field(0.0, ge=0, le=10, description="graded event threshold ε, in units of activity; 0 is exact")
    delay: float = Field(1.0, gt=0, le=1e4, description="conduction delay, ms (neuron.tau > 0, or spiking neurons)")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability that a hidden neuron is left out of a mini-batch")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="probability that an input is left out of a mini-batch")


class FeedbackTable(Table):
    """The pathway of the error and its fixed random matrices."""

    pathway: str | None = Field(None, description="how the error reaches the hidden layers; the rule's own if left out")
    distribution: Literal["uniform", "normal"] = Field("uniform", description="of the entries of B, of equal variance")
    fan_out: Literal["receiver", "sender"] = Field(
        "receiver", description="B scales with 1/√width of the layer that receives the feedback, or of its source"
    )
    gain: float = Field(1.0, gt=0, le=1e3, description="factor on B")
    shared: bool = Field(False, description="one B for all hidden layers, which must then be equally wide")
    threshold: float = Field(0.0, ge=0, lt=1, description="an output error no larger than this sends no event")


class Phases(Table):
    """The trial under the local rule: a free phase, then one or two nudged phases."""

    beta: float = Field(0.1, ge=1e-8, le=100, description="nudging strength β")
    nudging: Literal["one_sided", "centered"] = Field("centered", description="one phase at +β, or one at each of ±β")
    propagation: Literal["held", "two_compartment", "live"] = Field(
        "held", description="what the upper layers see, and synapses read, while the plasticity gate is open"
    )
    teacher: Literal["activity", "drive"] = Field("activity", description="where the output's teacher acts")
    free: float = Field(100.0, gt=0, le=1e6, description="duration of the free phase, ms (in time)")
    nudged: float = Field(20.0, gt=0, le=1e6, description="duration of a nudged phase, ms (in time)")
    gate: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="time the gate stays open from a nudged onset, ms (in time); all of it if left out",
    )


class Trace(Table):
    """The traces that synapses of spiking neurons read: each jumps at a spike and decays exponentially."""

    tau_x: float = Field(40.0, ge=0.1, le=1e4, description="presynaptic traces and the readout, ms (spiking neurons)")
    tau_z: float = Field(40.0, ge=0.1, le=1e4, description="postsynaptic traces, ms (spiking neurons)")


class Optimiser(Table):
    """The optimiser; its own parameters (learning_rate, …) stand beside its name."""

    model_config = ConfigDict(extra="allow")

    name: str = Field("rmsprop", description="optimiser")
    weight_decay: float = Field(0.0, ge=0, lt=1, description="λ in g + λ w; biases do not decay")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the optimiser itself."""
        return self.model_extra or {}


class Stage(Table):
    """A stretch of training under one rule."""

    epochs: int = Field(10, ge=1, le=100_000, description="passes through the training set")
    rule: str | None = Field(None, description="rule of this stage; the condition's if left out")
    frozen: list[int] = Field([], description="layers that keep their weights: 1 the first hidden, -1 the output")
    learning_rate: float | None = Field(None, gt=0, le=1e3, description="in place of the optimiser's")
    stop_at_error: float | None = Field(None, ge=0, le=100, description="stop at this training error, percent")


class Record(Table):
    """What a run keeps besides its metrics and its final weights."""

    probe: int = Field(256, ge=1, le=100_000, description="training samples on which angles are measured each epoch")
    checkpoint: int = Field(1, ge=1, le=100_000, description="epochs between checkpoints")
    weights: Literal["final", "every_epoch"] = Field("final", description="which weights are kept")
    spikes: int = Field(
        0,
        ge=0,
        le=10_000,
        description="trials of the probe whose spikes are kept, after training (spiking neurons, local rule)",
    )
    activity: int = Field(
        0, ge=0, le=100_000, description="training samples for which hidden activities are kept, after training"
    )


class Setting(Table):
    """All that one condition needs, apart from the data and the seed."""

    rule: str = Field("local", description="learning rule")
    batch_size: int = Field(64, ge=1, le=100_000, description="samples a weight update sums over")
    precision: Literal["float32", "float64"] = Field("float32", description="of weights and activities")
    network: NetworkTable = NetworkTable()
    neuron: dict[str, Any] = Field({}, description="parameters of the neuron model")
    feedback: FeedbackTable = FeedbackTable()
    phases: Phases = Phases()
    trace: Trace = Trace()
    optimiser: Optimiser = Optimiser()
    stage: list[Stage] = Field([Stage()], min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _check(self) -> "Setting":
        checks.check(self)
        return self

    def rule_of(self, stage: Stage) -> str:
        """The rule that a stage trains with."""
        return stage.rule or self.rule

    def pathway_of(self, rule: str) -> str:
        """The feedback pathway under a rule."""
        return checks.pathway_of(self, rule)

    @property
    def initial_weights(self) -> str:
        """``zero`` or ``uniform``, once ``auto`` is decided."""
        return checks.initial_weights(self)

    def without_threshold(self) -> "Setting":
        """The same setting with every event sent: what measurements compare with."""
        return self.model_copy(update={"network": self.network.model_copy(update={"threshold": 0.0})})

    @property
    def dynamic(self) -> bool:
        """Whether rate neurons have a time constant, so that a trial is simulated event by event in time."""
        return bool(self.neuron.get("tau", 0))

    @property
    def spiking(self) -> bool:
        """Whether the neurons spike, so that a trial under the local rule is simulated spike by spike."""
        return checks.spiking(self)


class Condition(Table):
    """One of the conditions to compare: a name, and what it changes in the tables of the experiment."""

    model_config = ConfigDict(extra="allow")

    name: Name

    @property
    def changes(self) -> dict[str, Any]:
        """The keys of a setting that differ from the experiment's."""
        return self.model_extra or {}


class Experiment(Setting):
    """A whole experiment: one data set, some seeds, the conditions to compare."""

    title: str = Field("", max_length=200, description="what the experiment asks, in a line")
    data: str = Field("digits", description="data set, or npz:PATH for your own")
    seeds: list[Seed] = Field([0], min_length=1, max_length=1000, description="one training for each")
    preprocess: Preprocess = Preprocess()
    record: Record = Record()
    condition: list[Condition] = Field([], max_length=1000)

    @model_validator(mode="after")
    def _check(self) -> "Experiment":
        if not self.condition:  # else the settings of the conditions are what runs, and they are checked
            checks.check(self)
        return self
