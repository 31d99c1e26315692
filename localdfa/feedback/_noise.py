"""The noise by which weight mirrors learn."""

import numpy as np
import numpy.typing as npt

# Samples of noise before each mini-batch.
_SAMPLES = 16


def noise(n: int, size: float, dtype: npt.DTypeLike, rng: np.random.Generator) -> np.ndarray:
    """Samples of noise of n neurons, (m, n): each entry is `size` or −`size`, alike likely and independent of all others."""
    return np.array([-size, size], dtype).take(rng.integers(0, 2, (_SAMPLES, n), np.int8))
