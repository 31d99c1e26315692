"""The output of a spiking network: what it reads of the top layer, and the neurons that carry its error back."""

from localdfa.core.compiled import allocating, device
from localdfa.core.spiking.queues import longer, sort
from localdfa.core.spiking.traces import trace_at


@device
def read_out(
    c,  # Tables
    state,  # State
    now,  # ms
    drive,  # (n_out,) gets a_y = b + Σ W x of output units that integrate, the activity of those that spike
):
    """Read the drive of the output units from the traces of the top layer, or their activity from their own traces."""
    n_out = drive.size
    if c.output_spikes:
        for u in range(n_out):
            drive[u] = c.unit * trace_at(c, c.layers + 1, state.origin, state.z, u, c.tau_z, now)
        return
    n = c.sizes[c.layers]
    for u in range(n_out):
        drive[u] = c.readout[n, u]
    for i in range(n):
        x = trace_at(c, c.layers, state.origin, state.x, i, c.tau_x, now)
        for u in range(n_out):
            drive[u] += x * c.readout[i, u]


@allocating
def send_error_spikes(
    c,  # Tables
    t0,  # begin of the step, ms
    t1,  # its end, ms
    error,  # (n_out,)
    level,  # (2 n_out,) how far each error neuron is on its way to its next spike, from 0 to 1
    times,  # queues of all populations: when each spike was sent, ms
    senders,  # and by which neuron
    listed,  # (P,) how many spikes are in each queue
):
    """Error neurons from t0 to t1: the level of each rises by |e| error_rate a ms where its sign is that of e, and it spikes at
    every 1."""
    k, n = c.sizes.size - 1, error.size
    own_times, own_senders, before = times[k], senders[k], listed[k]
    for u in range(2 * n):
        rise = c.error_rate * (error[u] if u < n else -error[u - n])
        if rise <= 0:
            continue
        time = t0 + (1 - level[u]) / rise
        for _ in range(2 + int((t1 - t0) * rise)):  # no more than there can be: 1 / rise may be less than the rounding of time
            if not time < t1:
                break
            if listed[k] == own_times.size:
                own_times, own_senders = longer(own_times, listed[k], 0), longer(own_senders, listed[k], 0)
            own_times[listed[k]], own_senders[listed[k]] = time, u
            listed[k] += 1
            time += 1 / rise
        level[u] = max(0.0, 1 - (time - t1) * rise)
    sort(own_times[before : listed[k]], own_senders[before : listed[k]])
    times[k], senders[k] = own_times, own_senders
