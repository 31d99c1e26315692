"""Spiking mode: every spike at its exact time, without a time step.

Neuron i of the first hidden layer has the constant drive I_i = b_i + Σ_j W_ij x_j of the analog inputs. Where inputs spike, and
in all other populations, the drive is b_i, and each spike of a presynaptic neuron j reaches neuron i `delay` ms after it was
sent. There it moves v_i by W_ij gain/τ_m (a delta synapse), or it raises a synaptic current, which decays with τ_syn, by W_ij
gain/τ_syn: W_ij h_j is its mean drive in both cases. Every drive has the model's own baseline besides, and in the nudged phases
the feedback current −β c_i, if the rule injects it. At the onset of a trial every v is at its start and every trace is 0; or a
trial begins where the one before it ended, with every spike that is still on its way (`carried`).

Conventions
-----------
A spike is sent when v reaches the threshold, by drift or by a jump. Where a linear membrane relaxes to v_th or less, only a
jump up makes a spike, although v is rounded to v_th after some tens of τ_m. In the t_ref ms after a spike, v stays at v_reset
and what arrives at v is lost; what arrives at their end, to within rounding of the time, is taken in. Arrivals of one moment
are taken in together. Phases are half open: a spike at the edge belongs to the later one.

Synapses read the traces x_j of their arrivals and z_i of the postsynaptic spikes, which jump by 1 and decay with τ_x and τ_z.
Under the local rule a synapse gains, for a gate from t0 to t1, exactly

    ∫ x_j dz_i = τ_z/(τ_x+τ_z) Σ_post x_j − τ_x/(τ_x+τ_z) Σ_pre z_i + τ_x/(τ_x+τ_z) [x_j z_i]_{t0}^{t1},

with x_j just before each postsynaptic spike and z_i just before each arrival. This is pair STDP of equal areas, and a term for
the gate; `traces` says how it is summed. Where an arrival makes the neuron fire, the spike does not count the x of that
arrival, and the arrival then reads the z that the spike has raised. With a constant input, ∫ x_j dz_i = x_j (z_i(t1) −
z_i(t0)). In units of activity, h = gain · rate, the traces are x gain/τ_x and z gain/τ_z.

With two compartments, also where the gate is to hold the forward activity (a nudge lasts many conduction delays), the soma
gets no feedback and sends the spikes that other neurons see. Its apical twin gets the same drive and the feedback, sends
nothing, and its trace is z. Under live propagation one compartment does both.

Output units integrate the spikes of the top layer with the time constant τ_x, a_y = b + Σ_j W_yj x_j gain/τ_x, without a delay;
or they are neurons like the hidden ones, whose activity ŷ is z gain/τ_z. The error is that at the end of the free phase; or it
follows the output while the feedback is on; or pairs of error neurons carry it: for each output unit one that spikes with a
rate in proportion to e where e > 0, and one for −e. Their spikes move v by −β B gain, in the mean −β B e. An output that is
taught on its activity learns −e x_j.

Modules
-------
`batch` simulates the trials of a mini-batch, `trial` is the kernel of one, `schedule` are its steps and `tables` the arrays of
the network. `population` takes one population through a step, by `dense`, `sparse` or `general`. `state` is what all of them
change, `traces`, `refractory`, `queues`, `crossing` and `output` are the parts that they share.
"""
