"""What is timed: a network, its data and a number of steps, the same for every side."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workload:
    """Training steps of a fully connected tanh network with logistic outputs and RMSprop.

    sizes: (n_in, hidden …, n_out); data: the set whose training samples are used; rule: ours (peers train by exact DFA);
    batch: samples a step; steps: steps a turn; check: steps after which the weights of both sides are compared; nudging and
    beta: of the local rule; members: networks of different seeds that train beside each other; device: where PyTorch computes;
    notice: an output error no larger sends no event on our side; epochs: passes through the samples before the turns, after
    which test errors are compared instead of weights.
    """

    name: str
    sizes: tuple[int, ...]
    data: str
    rule: str
    batch: int
    steps: int
    check: int
    learning_rate: float = 1e-4
    seed: int = 0
    samples: int = 8192
    nudging: str = "centered"
    beta: float = 0.1
    members: int = 1
    device: str = "cpu"
    notice: float = 0.0
    epochs: int = 0


_MNIST, _CIFAR = ((784, 800, 800, 10), "mnist"), ((3072, 1000, 1000, 1000, 10), "cifar10")
RATE = [
    *(
        Workload(f"{rule}, batch {batch}", *_MNIST, rule, batch, steps, check=20)
        for batch, steps in ((64, 150), (1, 500), (256, 50))
        for rule in ("local", "dfa")
    ),
    *(
        Workload(f"local, batch {batch}, 3072-1000×3-10", *_CIFAR, "local", batch, steps, check=20, learning_rate=1e-5)
        for batch, steps in ((64, 40), (1, 100), (256, 15))
    ),
]
# Events on: where most samples are learned, few errors are left that anybody notices.
EVENTS = [
    Workload(f"local, batch {batch}, ε, after epoch {epochs}", *_MNIST, "local", batch, steps, check=0, samples=60_000,
             notice=0.02, epochs=epochs, learning_rate=rate)
    for batch, steps, epochs, rate in ((64, 150, 10, 3e-4), (1, 3000, 1, 1e-4))
]  # fmt: skip
# The peers beside which these run; the others would take minutes to come there.
EVENTS_PEERS = ("pytorch",)
# The PyTorch path beside itself: one nudged phase against exact DFA, and eight networks at once against one after the other.
PYTORCH_RULES = [
    Workload(f"batch {batch}", *_MNIST, "local", batch, steps, check=20, nudging="one_sided", beta=0.01)
    for batch, steps in ((64, 100), (256, 40))
]
PYTORCH_MANY = Workload("8 networks, batch 64", *_MNIST, "local", 64, 20, check=5, nudging="one_sided", beta=0.01, members=8)


def setting(workload: Workload) -> Any:
    """The spec of our side."""
    from localdfa.spec import experiment, settings

    phases = {"nudging": workload.nudging, "beta": workload.beta}
    found = experiment(
        rule=workload.rule,
        batch_size=workload.batch,
        network={"hidden": list(workload.sizes[1:-1]), "weights": "zero"},
        feedback={"threshold": workload.notice},
        phases=phases if workload.rule == "local" else {},
        optimiser={"name": "rmsprop", "learning_rate": workload.learning_rate},
    )
    return settings(found)[workload.rule]


def samples(workload: Any) -> tuple[Any, Any]:
    """The first training samples: inputs (n, n_in) float32 in [0, 1] and one-hot targets (n, n_out)."""
    import numpy as np

    from localdfa import data

    found = data.load(workload.data)
    x, y = found.x_train[: workload.samples], found.y_train[: workload.samples]
    return x, np.eye(workload.sizes[-1], dtype=np.float32)[y]


def tested(workload: Workload) -> tuple[Any, Any]:
    """The test samples: inputs (n, n_in) float32 in [0, 1] and labels (n,)."""
    from localdfa import data

    found = data.load(workload.data)
    return found.x_test, found.y_test
