"""A population in windows that are much shorter than its time constants: neurons that nothing reaches cost nothing.

Windows are as short as the shortest delay, and in most of them few neurons are reached. A pass over all of them in each window
(`sparse`) would be most of the work. So several windows make a *span*, and within it a membrane is kept as

    v = I + Σ_r k_r c_r + u with k_r = τ_r/(τ_r − τ_m),

in which the currents c_r and u decay, each with a time constant of its own. As multiples of their decay since the span began
they stand still until something arrives, and an arrival adds to them. A neuron that could meet its threshold within the span
even if nothing arrived is *watched*: until when it surely does not, its v, the largest it could relax to, and a straight line
between them say. In each window, those of the watched who are no longer safe, and those of the reached who could meet their
threshold by an upper bound, are taken through its arrivals exactly (`resolving`). Bounds leave room for rounding.

This is for linear membranes without noise, with parameters that all neurons share, and for sparse projections.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import always_inline, device, unsigned
from localdfa.core.spiking.queues import Arrivals, collecting_kernels, sort
from localdfa.core.spiking.refractory import recovered, surely_until
from localdfa.core.spiking.resolving import look_up_arrivals, resolve_kernel
from localdfa.core.spiking.sparse import prefetch_synapses
from localdfa.core.spiking.state import Population, Synapses, Traces
from localdfa.core.spiking.traces import move_origin

# By so many units in the last place of the terms of v, and this fraction of the time since the span began, bounds are further
# from the threshold than they need be.
_ROOM, _EARLY = 16, 2.0**-20
# The columns of `Spans.rows`: all that a window needs of a neuron is in one place in memory.
_COLUMNS = tuple(unsigned(column) for column in range(8))
_U, _DRIVE, _REACHED, _CANDIDATE, _OF_U, _RISES, _LIFTS, _CURRENTS = _COLUMNS
# Rows are padded to a multiple of so many numbers.
_LINE = 8
# The list of the watched is looked through in blocks of so many.
_BLOCK = unsigned(32)
# The synapses of so many arrivals ahead are asked for before they are needed.
_AHEAD = 4


class Spans(NamedTuple):
    """What is known of ranges of neurons within a span; n neurons of all ranges, P populations and ranges, R currents.

    The columns of `rows`, in their order: u, −∞ of refractory neurons; the constant drive; whether something reaches the neuron
    in the window, and whether it is a candidate; what the window adds to u, what raises v in it, and what raises currents; R
    currents, as multiples of their decay since the span began; and what the window adds to each of these.
    """

    windows: int  # of a span
    chosen: np.ndarray  # (P,) which ranges are simulated so
    rows: np.ndarray  # (n, 8 + 2 R, or some more)
    watched: np.ndarray  # (n,) of each range a list of its neurons, those that were not safe until the span ends
    safe: np.ndarray  # (n,) how long after the span's begin each of the list surely does not spike if nothing arrives, or is
    # refractory, ms; infinite if to the end
    listed: np.ndarray  # (P,) how many the list has
    place: np.ndarray  # (n,) where each neuron stands in the list; −1 if it does not
    reached: np.ndarray  # (n,) of each range a list of the neurons that something reaches in a window


def spans_of(chosen: np.ndarray, windows: int, n: int, currents: int, dtype: np.dtype) -> Spans:
    """Room for n neurons with this number of synaptic currents; where no range is chosen none, and a span is one window."""
    columns = -(-(len(_COLUMNS) + 2 * currents) // _LINE) * _LINE
    if not chosen.any():
        windows, n = 1, 0
    return Spans(
        windows=windows,
        chosen=chosen,
        rows=np.zeros((n, columns), dtype),
        watched=np.zeros(n, np.int64),
        safe=np.zeros(n, dtype),
        listed=np.zeros(len(chosen), np.int64),
        place=np.zeros(n, np.int64),
        reached=np.zeros(n, np.int64),
    )


class Fades(NamedTuple):
    """What a window does to all neurons of a range alike: to what fraction currents, and last a raised threshold, have decayed
    since the span began; R currents."""

    share: np.ndarray  # (R + 1,) k_r of the currents
    t: np.ndarray  # (R + 1,) when a window begins
    stop: np.ndarray  # (R + 1,) when it ends
    end: np.ndarray  # (R + 1,) when the span ends


@cache
def span_kernel(neuron: Any, exponential: bool) -> Any:
    """The kernel for one model of neurons; exponential: whether there are synaptic currents."""
    resolve_spikes, adapts = resolve_kernel(neuron, exponential, False, ()), neuron.adapts
    _, merge_arrivals = collecting_kernels(True)

    @always_inline
    def level(row, fade, share, faded):
        """v of a neuron at a moment; fade, faded: what is left of u and of currents then."""
        v = row[_DRIVE] + row[_U] * fade
        for r in range(share.size - 1):
            v += share[r] * row[_CURRENTS + unsigned(r)] * faded[r]
        return v

    @always_inline
    def watch(i, a, k, until, spans):
        """Neuron i of range k is safe until then, ms since the span began; if the span ends later, it is in the list."""
        neuron = unsigned(a) + unsigned(i)
        at = spans.place[neuron]
        if until < np.inf and at < 0:
            at = spans.listed[k]
            spans.watched[unsigned(a + at)], spans.place[neuron] = i, at
            spans.listed[k] += 1
        if at >= 0:
            spans.safe[unsigned(a + at)] = until

    @always_inline
    def refractory_until(until, origin):
        """Until when a neuron surely is refractory, ms since the span began."""
        return (surely_until(until) - origin) * (1 - _EARLY)

    @always_inline
    def safe_until(p, row, theta, share, early, late, fade, since, remains, single):
        """Until when a neuron surely does not spike, ms since the span began; infinite: not before it ends.

        theta: by how much its threshold is raised, as a multiple of its decay; early, late: what is left of currents, and last
        of that, now and where the span ends; fade: what is left of u; since: ms since the span began; remains: e^(−s/τ_m) with
        s the time to its end. What is still to come in the window counts as if it came now.
        """
        u, target, last = row[_U] * fade, float(row[_DRIVE]), share.size - 1
        rises, lifts = float(row[_RISES]), float(row[_LIFTS])
        v, largest, size, threshold = target + u, target, abs(target) + abs(u) + p.v_th + rises + lifts, p.v_th
        for r in range(last):
            multiple = float(row[_CURRENTS + unsigned(r)])
            now, then = multiple * early[r], multiple * late[r]
            v += share[r] * now
            largest += max(now, then)
            size += abs(share[r] * now)
        if adapts:
            threshold += theta * min(early[last], late[last])
            size += theta
        far = max(0.0, largest + lifts - v)
        room = threshold - _ROOM * (2.0**-23 if single else 2.0**-52) * size - rises - v
        if room <= 0:
            return since
        return np.inf if far * (1 - remains) < room else (since + p.tau_m * room / far) * (1 - _EARLY)

    @always_inline
    def bound_to_end(p, c, k, t, end, state, fades, scratch, single):
        """Put below 0 in `scratch.rise` what surely is safe until the span ends, of range k as it begins: the bound of
        `safe_until`, for all neurons at once and with more room for rounding."""
        a, n, share, last, number = c.first[k], unsigned(c.sizes[k]), fades.share, c.taus.size, state.v.dtype.type
        v, drive, theta = state.v[a:], state.drive[a:], state.theta[a:]
        beyond, size, apart, none = scratch.rise, scratch.threshold, scratch.kept, number(0)
        relaxes, lowest, late = number(1 - math.exp((t - end) / p.tau_m)), number(p.v_th), number(fades.end[last])
        rounding = number((_ROOM + 4 * share.size) * (2.0**-23 if single else 2.0**-52))
        for i in range(n):
            beyond[i], size[i], apart[i] = drive[i], abs(drive[i]), v[i] - drive[i]
        for r in range(last):
            currents, of_v, left = state.currents[r, a:], number(share[r]), number(fades.end[r])
            for i in range(n):
                beyond[i] += max(currents[i], currents[i] * left)
                size[i] += abs(of_v * currents[i])
                apart[i] -= of_v * currents[i]
        for i in range(n):
            threshold = lowest + theta[i] * late if adapts else lowest
            terms = size[i] + abs(apart[i]) + threshold + theta[i]
            beyond[i] = max(none, beyond[i] - v[i]) * relaxes - (threshold - rounding * terms - v[i])

    @device
    def begin(p, c, k, t, end, state, spans, fades, scratch, single):
        """Fill the rows of range k at the begin of a span."""
        move_origin(c, k, t, state, 0.0, c.jumps)
        bound_to_end(p, c, k, t, end, state, fades, scratch, single)
        a, n, share, remains = unsigned(c.first[k]), unsigned(c.sizes[k]), fades.share, math.exp((t - end) / p.tau_m)
        spans.listed[k] = 0
        for i in range(n):
            spans.place[a + i] = -1
        for i in range(n):
            row, u = spans.rows[a + i], float(state.v[a + i]) - float(state.drive[a + i])
            row[_DRIVE] = state.drive[a + i]
            for r in range(unsigned(c.taus.size)):
                current = state.currents[r, a + i]
                row[_CURRENTS + r] = current
                u -= share[r] * current
            row[_U] = u
            if not recovered(state.until[a + i], t):
                row[_U] = -np.inf
                watch(i, a, k, refractory_until(state.until[a + i], t), spans)
            elif not scratch.rise[i] < 0:
                until = safe_until(p, row, float(state.theta[a + i]), share, fades.t, fades.end, 1.0, 0.0, remains, single)
                watch(i, a, k, until, spans)

    @device
    def finish(p, c, k, t, state, spans, fades):
        """Take v and currents of range k from their rows at t, where a span ends or is looked into."""
        a, fade = c.first[k], math.exp((state.origin[k] - t) / p.tau_m)
        for i in range(unsigned(a), unsigned(a + c.sizes[k])):
            row = spans.rows[i]
            state.v[i] = level(row, fade, fades.share, fades.stop) if row[_U] > -np.inf else p.v_reset
            for r in range(unsigned(c.taus.size)):
                state.currents[r, i] = row[_CURRENTS + r]

    @always_inline
    def scatter(p, c, k, arrivals, state, spans, share):
        """Add up what a window's arrivals do to each neuron; returns how many are reached."""
        a, taus, number, count = c.first[k], c.taus, state.v.dtype.type, 0
        rows, reached, none = spans.rows[a:], spans.reached[a:], number(0)
        for e in range(arrivals.when.size):
            prefetch_synapses(e + _AHEAD, arrivals, c)
            port, j, size = c.ports[arrivals.ports[e]], arrivals.senders[e], state.strength[arrivals.ports[e]]
            r, apart = port.current, arrivals.when[e] - state.origin[k]
            of_u, of_current, raised, column = number(math.exp(apart / p.tau_m)), none, _RISES, _OF_U
            if r >= 0:
                of_u *= number(-share[r])
                of_current, raised = number(math.exp(apart / taus[r])), _LIFTS
                column = _CURRENTS + unsigned(taus.size) + unsigned(r)
            to, jumps = c.targets[port.targets :], c.jumps[port.jumps :]
            for s in range(unsigned(c.row_ends[port.rows + j]), unsigned(c.row_ends[port.rows + j + 1])):
                i, jump = unsigned(to[s]), jumps[s * unsigned(port.stride)] * size
                if rows[i, _REACHED] == 0:
                    rows[i, _REACHED] = 1
                    reached[count] = i
                    count += 1
                rows[i, column] += jump * of_current  # of a jump of v nothing
                rows[i, _OF_U] += jump * of_u
                rows[i, raised] += max(jump, none)
        return count

    @always_inline
    def take_in(row, currents):
        """Add what has reached a neuron in a window to its currents, and to u, which stays −∞ where it is."""
        for r in range(unsigned(currents)):
            row[_CURRENTS + r] += row[_CURRENTS + unsigned(currents) + r]
            row[_CURRENTS + unsigned(currents) + r] = 0
        row[_U] += row[_OF_U]
        row[_OF_U], row[_RISES], row[_LIFTS], row[_REACHED] = 0, 0, 0, 0

    @always_inline
    def through_window(
        p,  # parameters of the neurons
        c,  # Tables
        k,  # the range
        t,  # begin of the window, ms
        stop,  # its end, ms
        end,  # end of the span, ms
        opens,  # whether the span begins with it
        closes,  # whether it ends with it, or is looked into where it ends
        count,  # how many spikes arrive in the window
        collected,  # Collected, as `queues.count_arrivals` leaves it
        state,  # State: v and currents are in `spans` within a span
        queues,  # simulation.Queues, of which the range's own gets the spikes of the window
        sends,  # whether spikes are listed
        spans,  # Spans
        scratch,  # population.Scratch
        reached,  # Reached, with room for all arrivals
        fades,  # Fades: scratch
    ):
        """Take range k through a window."""
        times = queues.times[queues.begin[k] : queues.begin[k + 1]]
        senders = queues.senders[queues.begin[k] : queues.begin[k + 1]]
        at = merge_arrivals(
            c.first_port[k], c.first_port[k + 1], t, c.ports, c.delay, state.received, queues.times, queues.senders,
            queues.begin, collected,
        )  # fmt: skip
        arrivals = Arrivals(collected.when[at, :count], collected.ports[at, :count], collected.senders[at, :count])
        for e in range(_AHEAD):
            prefetch_synapses(e, arrivals, c)
        a, n, taus, single, listed = c.first[k], c.sizes[k], c.taus, state.v.itemsize == 4, state.listed[k]
        origin = t if opens else state.origin[k]
        for r in range(taus.size + 1):
            tau = taus[r] if r < taus.size else c.tau_a[k]
            fades.t[r], fades.stop[r] = math.exp((origin - t) / tau), math.exp((origin - stop) / tau)
            fades.end[r], fades.share[r] = math.exp((origin - end) / tau), tau / (tau - p.tau_m)
        if opens:
            begin(p, c, k, t, end, state, spans, fades, scratch.sparse, single)
        rows, later = spans.rows[a : a + n], state.scratch[a : a + n]
        until, theta = state.until[a : a + n], state.theta[a : a + n]
        candidates, decay = scratch.candidates, scratch.sparse.decay
        hit = scatter(p, c, k, arrivals, state, spans, fades.share)
        fade, remains = math.exp((origin - t) / p.tau_m), math.exp((t - end) / p.tau_m)
        # Candidates who are refractory first come last.
        awake, last, first, watched = 0, n, unsigned(a), unsigned(a + spans.listed[k])
        soon = spans.safe.dtype.type(stop - origin)
        while first < watched:
            block, some = min(first + _BLOCK, watched), False
            for h in range(first, block):
                some |= spans.safe[h] < soon
            for h in range(first, block if some else first):
                if spans.safe[h] < soon:
                    i = unsigned(spans.watched[h])
                    row = rows[i]
                    if row[_U] > -np.inf:
                        candidates[awake], row[_CANDIDATE] = i, 1
                        awake += 1
                    elif recovered(until[i], stop):
                        last -= 1
                        candidates[last], row[_CANDIDATE] = i, 1
            first = block
        for h in range(unsigned(a), unsigned(a + hit)):
            i = unsigned(spans.reached[h])
            row = rows[i]
            # What only lowers v leaves a neuron as safe as it was.
            if row[_CANDIDATE] == 0 and (row[_RISES] > 0 or row[_LIFTS] > 0) and row[_U] > -np.inf:
                surely = safe_until(p, row, float(theta[i]), fades.share, fades.t, fades.end, fade, t - origin, remains, single)
                watch(i, a, k, surely, spans)
                if surely < stop - origin:
                    candidates[awake], row[_CANDIDATE] = i, 1
                    awake += 1
            if row[_CANDIDATE] == 0:
                take_in(row, taus.size)
        count, before = awake, listed
        for f in range(last, n):
            candidates[count] = candidates[f]
            count += 1
        if count > 0:
            for f in range(count):
                i = unsigned(candidates[f])
                if f < awake:
                    later[i] = level(rows[i], fade, fades.share, fades.t)
                for r in range(unsigned(taus.size)):
                    state.currents[r, unsigned(a) + i] = rows[i, _CURRENTS + r]
            decay.taus[taus.size], decay.after[taus.size] = c.tau_a[k], 0.0
            population = Population(
                target=state.drive[a : a + n],
                until=until,
                spikes=state.spikes[a : a + n],
                theta=theta,
                x=state.x[a : a + n],
                z=state.z[a : a + n],
                accumulator=state.accumulator[a : a + n],
                currents=state.currents,
                first=a,
                times=times,
                senders=senders,
            )
            traces = Traces(origin=origin, tau_x=c.tau_x, tau_z=c.tau_z, post=c.post, pre=c.pre, edge=c.edge)
            synapses = Synapses(
                ports=c.ports,
                row_ends=c.row_ends,
                targets=c.targets,
                jumps=c.jumps,
                online=c.online,
                strength=state.strength,
                pre_traces=state.pre_traces,
                sums=c.jumps,
            )
            f = 0
            while f < count:
                some = candidates[f : f + look_up_arrivals(candidates[f:count], n, arrivals, synapses, reached)]
                listed = resolve_spikes(
                    p, None, some, awake - f, later, later, t, stop, traces, population, arrivals, synapses, reached, decay, k,
                    None, scratch.sparse.events, later.dtype.type(0), listed,
                )  # fmt: skip
                f += some.size
            fade, remains = math.exp((origin - stop) / p.tau_m), math.exp((stop - end) / p.tau_m)
            for f in range(count):
                i = unsigned(candidates[f])
                row = rows[i]
                take_in(row, taus.size)
                row[_CANDIDATE], row[_U] = 0, 0
                if later[i] == -np.inf:
                    row[_U] = -np.inf
                    watch(i, a, k, refractory_until(until[i], origin), spans)
                    continue
                row[_U] = (later[i] - level(row, fade, fades.share, fades.stop)) / fade
                surely = safe_until(
                    p, row, float(theta[i]), fades.share, fades.stop, fades.end, fade, stop - origin, remains, single
                )
                watch(i, a, k, surely, spans)
        if listed - before > 1:
            sort(times[before:listed], senders[before:listed])
        state.listed[k] = listed if sends else before
        if closes:
            finish(p, c, k, stop, state, spans, fades)

    return through_window
