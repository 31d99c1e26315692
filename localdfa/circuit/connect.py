"""Which pairs of neurons a projection joins: rules that draw them in a time that grows with synapses, not with pairs."""

from typing import Any, NamedTuple

import numpy as np

from localdfa.core.joining import by_part, by_sender
from localdfa.topology import draw_pairs

# So many numbers are drawn at a time. Where a neuron is joined with more than this part of all others, they are put in order
# at random instead of drawn one by one.
_BLOCK, _MANY = 2**20, 1 / 3
# Targets of a range, which is no wider than these numbers reach.
TARGET = np.dtype(np.uint16)
WIDEST = 2**16


class Pairs(NamedTuple):
    """The pairs that a projection joins, by presynaptic neuron.

    ends (n_pre + 1,), targets: neuron j reaches targets[ends[j]:ends[j + 1]], in ascending order; None where all reach all.
    order (n_synapses,): where each of them stands among those that were given, or None where they were not given.
    """

    ends: np.ndarray | None = None
    targets: np.ndarray | None = None
    order: np.ndarray | None = None


def drawn_whole(kind: str) -> bool:
    """Whether pairs of this kind are those of a whole population; of other kinds ranges of it are drawn one by one."""
    return kind in ("out_degree", "pairs")


def whole(kind: str, given: Any, n_pre: int, n_post: int, own: bool, several: bool, rng: np.random.Generator) -> Pairs:
    """The pairs of a projection of a kind that is `drawn_whole`; arguments as of `joined`."""
    if kind == "out_degree":
        targets = _partners(rng, np.arange(n_pre), n_post, given, own, several)
        return Pairs(np.arange(n_pre + 1) * given, targets.ravel())
    pre, post = given
    order = np.lexsort((post, pre))
    return Pairs(_ends(pre, n_pre), post[order].astype(np.int32), order)


def within(pairs: Pairs, low: int, high: int) -> Pairs:
    """Those of the pairs whose postsynaptic neuron is one from `low` to `high` − 1, counted from `low`."""
    assert pairs.ends is not None
    assert pairs.targets is not None
    inside = (pairs.targets >= low) & (pairs.targets < high)
    before = np.concatenate([[0], np.cumsum(inside)])
    return Pairs(
        before[pairs.ends],
        (pairs.targets[inside] - low).astype(TARGET),
        None if pairs.order is None else pairs.order[inside],
    )


def joined(kind: str, given: Any, n_pre: int, low: int, high: int, own: bool, several: bool, rng: np.random.Generator) -> Pairs:
    """The pairs of a projection with the postsynaptic neurons from `low` to `high` − 1, counted from `low`.

    kind, given: as of `description.Projection`. own: whether both are one population whose neurons may not be joined with
    themselves; several: whether a pair may have several synapses, where a number of them is drawn for each neuron.
    """
    n = high - low
    if kind == "dense":
        return _without_own(*_everyone(n_pre, n), low) if own else Pairs()
    if kind == "one_to_one":
        return Pairs(np.clip(np.arange(n_pre + 1), low, high) - low, _range(n))
    if kind == "probability":
        ends, targets = draw_pairs(given, n_pre, n, rng, TARGET)
        return _without_own(ends, targets, low) if own else Pairs(ends, targets)
    senders = _partners(rng, np.arange(low, high), n_pre, given, own, several)
    targets = np.empty(senders.size, TARGET)
    return Pairs(by_sender(senders, n_pre, targets), targets)


def all_pairs(n_pre: int, n_post: int) -> Pairs:
    """All with all, synapse by synapse."""
    return Pairs(*_everyone(n_pre, n_post))


def merged(pairs: Pairs, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends, targets and weights with one synapse a pair: where there are several, the sum of their weights does the same."""
    assert pairs.ends is not None
    assert pairs.targets is not None
    pre, targets = senders_of(pairs), pairs.targets
    new = np.ones(len(targets), bool)
    new[1:] = (pre[1:] != pre[:-1]) | (targets[1:] != targets[:-1])
    if new.all():
        return pairs.ends, targets, weights
    return _ends(pre[new], len(pairs.ends) - 1), targets[new], np.add.reduceat(weights, np.flatnonzero(new))


def senders_of(pairs: Pairs) -> np.ndarray:
    """The presynaptic neuron of each synapse."""
    assert pairs.ends is not None
    return np.repeat(np.arange(len(pairs.ends) - 1, dtype=np.int32), np.diff(pairs.ends))


def split(pairs: Pairs, part: np.ndarray, parts: int) -> list[tuple[Pairs, np.ndarray]]:
    """The synapses by the `part` (n_synapses,) that each belongs to: of each part its pairs, and which synapses they are."""
    assert pairs.ends is not None
    assert pairs.targets is not None
    order, ends = by_part(pairs.ends, part, parts)
    first = np.cumsum([0, *ends[:, -1]])
    found = []
    for p in range(parts):
        which = order[first[p] : first[p + 1]]
        found.append((Pairs(ends[p], pairs.targets[which]), which))
    return found


def _everyone(n_pre: int, n_post: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n_pre + 1, dtype=np.int64) * n_post, np.tile(_range(n_post), n_pre)


def _range(n: int) -> np.ndarray:
    return np.arange(n).astype(TARGET)


def _ends(pre: np.ndarray, n_pre: int) -> np.ndarray:
    """Where the rows of these presynaptic neurons end."""
    return np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=n_pre))]).astype(np.int64)


def _without_own(ends: np.ndarray, targets: np.ndarray, low: int) -> Pairs:
    """The same without the pairs of a neuron with itself; targets are counted from `low`."""
    pre = senders_of(Pairs(ends, targets))
    others = pre != targets.astype(np.int32) + low
    return Pairs(_ends(pre[others], len(ends) - 1), targets[others])


def _partners(rng: np.random.Generator, neurons: np.ndarray, others: int, k: int, own: bool, several: bool) -> np.ndarray:
    """For each of n neurons, by number, k partners among others, in ascending order, (n, k) of int32.

    own: whether they are among these others, and no partners of themselves. Without `several` partners differ: what is drawn
    twice is drawn anew, which favours no set of partners.
    """
    n, there = len(neurons), others - own
    found = np.empty((n, k), np.int32)
    if k == 0:
        return found
    by_order = not several and k > _MANY * there
    rows = max(1, _BLOCK // (there if by_order else k))
    for begin in range(0, n, rows):
        part = found[begin : begin + rows]
        if by_order:
            part[:] = rng.random((len(part), there)).argsort(axis=1)[:, :k]
            part.sort(axis=1)
        else:
            part[:] = rng.integers(there, size=part.shape)
            part.sort(axis=1)
            wrong = np.arange(0 if several else len(part))
            while wrong.size:
                some = part[wrong]
                again = np.zeros(some.shape, bool)
                again[:, 1:] = some[:, 1:] == some[:, :-1]
                some[again] = rng.integers(there, size=np.count_nonzero(again))
                some.sort(axis=1)
                part[wrong], wrong = some, wrong[again.any(axis=1)]
        if own:
            part += part >= neurons[begin : begin + len(part), None]
    return found
