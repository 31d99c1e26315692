"""The compiled engine: the only loops over neurons, synapses and events."""

import os

# Idle threads sleep instead of spinning. A spinning thread gains 3 µs a kernel on an idle machine and loses milliseconds a
# kernel as soon as another process wants its core. Read once, when the first kernel starts its threads.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
