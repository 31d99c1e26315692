"""Poisson processes from counters, in Python's own integers: the definition of Philox4x32-10, and what is made of its words."""

import math
from collections.abc import Sequence

LOW = 0xFFFFFFFF


def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Four words of 32 bits from a counter of four and a key of two."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q & LOW, (p >> 32) ^ d ^ k1, p & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return a, b, c, d


def train(seed: int, source: int, neuron: int, rate: float, stop: float) -> list[float]:
    """The events of one neuron before `stop`, ms; rate in Hz."""
    events, t, m = list[float](), 0.0, 0
    while rate:
        block = m // 2
        words = philox((block & LOW, block >> 32, neuron, source), (seed & LOW, seed >> 32))
        high, low = words[2 * (m % 2)] >> 5, words[2 * (m % 2) + 1] >> 6
        t += -math.log((high * 2**26 + low + 1) / 2**53) * (1e3 / rate)
        if t >= stop:
            break
        events.append(t)
        m += 1
    return events


def merged(
    seed: int, number: int, neuron: int, rates: Sequence[float], tables: Sequence[Sequence[int]], stop: float
) -> list[list[float]]:
    """The events before `stop`, ms, of each of the processes of a population's noise, which are drawn together.

    number: of the population; neuron: its first one; rates: of the processes, Hz; tables: of the alias method.
    """
    (kept, alias), t, m, n = tables, 0.0, 0, len(rates)
    events: list[list[float]] = [[] for _ in rates]
    while sum(rates):
        block, which = 64 * (m // 128) + m % 64, m % 128 // 64
        words = philox((block & LOW, block >> 32, neuron, number), (seed & LOW, seed >> 32))
        t += -math.log((words[2 * which] + 0.5) / 2**32) * 1e3 / sum(rates)
        if t >= stop:
            break
        entry, rest = divmod(words[2 * which + 1] * n, 2**32)
        events[entry if rest < kept[entry] else alias[entry]].append(t)
        m += 1
    return events
