"""What is timed: a network, its data and a number of steps, the same for every side."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Workload:
    """Training steps of a fully connected tanh network with logistic outputs and RMSprop.

    sizes: (n_in, hidden …, n_out); data: the set whose training samples are used; rule: ours (peers train by exact DFA);
    batch: samples a step; steps: steps a turn; check: steps after which the weights of both sides are compared.
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

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {**asdict(self), "sizes": list(self.sizes)}


_MNIST = ((784, 800, 800, 10), "mnist")
RATE = [
    Workload(f"{rule}, batch {batch}", *_MNIST, rule, batch, steps, check=20)
    for batch, steps in ((64, 150), (1, 500), (256, 50))
    for rule in ("local", "dfa")
]


def from_dict(fields: dict[str, Any]) -> Workload:
    """The workload that `as_dict` wrote."""
    return Workload(**{**fields, "sizes": tuple(fields["sizes"])})


def setting(workload: Workload) -> Any:
    """The spec of our side."""
    from localdfa.spec import experiment, settings

    found = experiment(
        rule=workload.rule,
        batch_size=workload.batch,
        network={"hidden": list(workload.sizes[1:-1]), "weights": "zero"},
        optimiser={"name": "rmsprop", "learning_rate": workload.learning_rate},
    )
    return settings(found)[workload.rule]


def samples(workload: Workload) -> tuple[Any, Any]:
    """The first training samples: inputs (n, n_in) float32 in [0, 1] and one-hot targets (n, n_out)."""
    import numpy as np

    from localdfa import data

    found = data.load(workload.data)
    x, y = found.x_train[: workload.samples], found.y_train[: workload.samples]
    return x, np.eye(workload.sizes[-1], dtype=np.float32)[y]
