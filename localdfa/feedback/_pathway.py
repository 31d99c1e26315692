"""What a feedback pathway defines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from localdfa.core.compiled import device

if TYPE_CHECKING:
    from localdfa.core.update import Update
    from localdfa.engines import Engine
    from localdfa.network import Network
    from localdfa.spec import Setting
    from localdfa.spec.tables import FeedbackTable


# What learns of a matrix B: itself, or two matrices Q and P whose product it is.
Factors = tuple[np.ndarray, ...]


class Taught(NamedTuple):
    """What a mini-batch teaches a matrix, as `Update` says it of a projection: two factors, or their sum, of its shape.

    Of a matrix B_l pre is (m, n_l), or with a column of ones for the bias (m, n_l + 1); change (m, width of the source): ΔB_l
    is in the direction of Σ_samples pre · change.
    """

    pre: np.ndarray | None
    change: np.ndarray | None
    total: np.ndarray | None = None


class Pathway:
    """Through which matrix the signal c_l of hidden layer l, counted from 0, comes, and what it carries.

    propagations: the values of ``phases.propagation`` with which it works under the local rule, where the signal is a current
    and what a layer passes on must not be on its way at the same time. by_propagation: above the first layer the activity
    itself carries the signal. passes_weights: the signal passes forward weights, so it is zero while they are. in_time: it
    is linear in what is carried alone, so it can be a current in the simulations in time. shareable: all its matrices can be
    one. follows_error: what is carried depends on the error e, so that it can be read anew while the error changes, be left out
    where the error is below a threshold, and be brought by the spikes of error neurons. keeps: the keys of `feedback` that say
    how a random B is made, such as ``rank``, which B still follows after it has changed.

    B_l is fixed, unless a pathway defines one of these, by which it changes: `follow`, and it is made anew from the forward
    weights; `mirror`, and it learns from noise before each mini-batch; `taught`, and it learns from the mini-batch, by the
    optimiser of the weights and with their weight decay. What learns may be two matrices in the place of B_l, its `factors`.
    """

    propagations: tuple[str, ...] = ("held",)
    by_propagation = False
    passes_weights = False
    in_time = False
    shareable = False
    follows_error = True
    keeps: tuple[str, ...] = ()

    @staticmethod
    @device
    def carries(prediction, target, error):
        """What of an output unit is sent back, from its prediction ŷ, its target y* and its error e = ŷ − y*, 0 where that is
        below the threshold: of one unit in a kernel, of arrays (m, n_out) in a settled network. By default the error."""
        return error

    @staticmethod
    def refusal(setting: "Setting") -> str | None:
        """Why it does not go with a setting, its output or targets say, and what is allowed: words that follow its name; else
        None. It is asked before anything is read or built."""
        return None

    @staticmethod
    def shape(network: "Network", l: int) -> tuple[int, int] | None:
        """Shape of the fixed random matrix of layer l, (n_l, width of its source), or None."""
        return None

    @classmethod
    def draws(cls) -> bool:
        """Whether it has random matrices."""
        return cls.shape is not Pathway.shape

    @classmethod
    def widths(cls, network: "Network", l: int) -> tuple[int, int] | None:
        """Width of layer l and of the source of its signal, with either of which the matrix scales; None without a matrix."""
        return cls.shape(network, l)

    @staticmethod
    def order(n_hidden: int) -> range:
        """The order in which the hidden layers get their signals: from the output down, unless a pathway says otherwise."""
        return range(n_hidden - 1, -1, -1)

    @staticmethod
    def follow(network: "Network", l: int, drawn: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        """Write B_l into `out` as it follows from the forward weights; drawn: the random matrix of layer l, which stays.

        It is called when the network is built, before each mini-batch and before B is measured.
        """
        raise NotImplementedError

    @staticmethod
    def mirror(
        network: "Network", l: int, table: "FeedbackTable", rng: np.random.Generator, out: np.ndarray, engine: "Engine"
    ) -> None:
        """Change B_l, `out`, by what noise in layer l evokes above it, before a mini-batch.

        table: the spec's `feedback`. engine: runs a network with currents as inputs, from rest, as the one
        that learns is run.
        """
        raise NotImplementedError

    @staticmethod
    def factors(matrix: np.ndarray, table: "FeedbackTable") -> Factors:
        """What learns of B_l, `matrix`: B_l itself, or new arrays Q (n_l, r) and P (r, width of the source), of which B_l = Q P
        is then made before each mini-batch and before it is measured. P has no weight decay. table: the spec's `feedback`."""
        return (matrix,)

    @staticmethod
    def taught(network: "Network", l: int, update: "Update", factors: Factors) -> tuple[Taught, ...]:
        """What a mini-batch that teaches the weights `update` teaches each of the `factors` of B_l."""
        raise NotImplementedError

    @classmethod
    def follows(cls) -> bool:
        """Whether B is made from the forward weights."""
        return cls.follow is not Pathway.follow

    @classmethod
    def mirrors(cls) -> bool:
        """Whether B learns from noise."""
        return cls.mirror is not Pathway.mirror

    @classmethod
    def learns(cls) -> bool:
        """Whether B learns from mini-batches."""
        return cls.taught is not Pathway.taught

    @classmethod
    def changes(cls) -> bool:
        """Whether B changes while the network learns, in any of these ways."""
        return cls.follows() or cls.mirrors() or cls.learns()

    @staticmethod
    def signal(
        network: "Network", l: int, carried: np.ndarray, change: list[np.ndarray], out: np.ndarray, route: Sequence = ()
    ) -> None:
        """Write c_l (m, n_l) into `out`; carried (m, n_out): as `carries` gives it.

        change[k]: −δa_k of a layer already done. route[k]: how the mini-batch passed through projection k, which a signal
        through the synapses of a convolution needs (`core.rate.projections`).
        """
        raise NotImplementedError

    @staticmethod
    def source(network: "Network", l: int) -> int | None:
        """The layer k whose change[k] the signal of layer l passes on; None where it comes from the error itself."""
        return None

    @staticmethod
    def replaces(network: "Network", l: int) -> np.ndarray | None:
        """The forward weights that the matrix of layer l stands in for, in its shape: what `measure.alignment` compares.

        Their direction: they may be multiplied by a number. None where they are no matrix.
        """
        raise NotImplementedError
