"""ZCA whitening (Bell & Sejnowski 1997, Vision Research 37:3327; Krizhevsky 2009, appendix A)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import threadpool_limits

from localdfa.errors import DataError

_ROWS = 4096  # samples held in float64 at a time


@dataclass(frozen=True)
class Zca:
    """The linear map x -> (x / scale - mean) U (S + epsilon)^(-1/2) U^T.

    U and S are the eigenvectors and eigenvalues of the covariance (1/n) sum (x - mean)(x - mean)^T of the samples
    that the map was fitted to, so the covariance of their images is U S/(S + epsilon) U^T: the identity up to
    epsilon. Everything is computed in float64 and with one BLAS thread, so that the result is the same for any
    number of threads.

    Attributes
    ----------
    scale : float
        Divides the inputs first.
    mean : float64 array, shape (n_features,)
        Mean of the scaled inputs.
    matrix : float64 array, shape (n_features, n_features)
        The symmetric matrix U (S + epsilon)^(-1/2) U^T.
    """

    scale: float
    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]

    @classmethod
    def fit(cls, x: NDArray[Any], scale: float, epsilon: float) -> "Zca":
        """Fit the map to x, shape (n, n_features); `epsilon` > 0 has the unit of a variance."""
        if not (np.isfinite(epsilon) and epsilon > 0):
            raise DataError(f"whiten_epsilon = {epsilon}: it must be finite and above 0")
        with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(limits=1, user_api="blas"):
            mean = x.mean(axis=0, dtype=np.float64) / scale
            covariance = np.zeros((x.shape[1], x.shape[1]))
            for part in _blocks(x):
                centred = x[part] / np.float64(scale) - mean
                covariance += centred.T @ centred
            covariance /= x.shape[0]
            if not np.isfinite(covariance).all():
                raise DataError("the inputs are too large to whiten: their covariance overflows; scale them first")
            values, vectors = np.linalg.eigh(covariance)
            matrix = (vectors / np.sqrt(np.maximum(values, 0.0) + epsilon)) @ vectors.T
        return cls(scale, mean, matrix)

    def apply(self, x: NDArray[Any], dtype: DTypeLike) -> NDArray[np.floating]:
        """Return the images of x, shape (n, n_features), in the given dtype."""
        whitened = np.empty(x.shape, dtype=dtype)
        with threadpool_limits(limits=1, user_api="blas"):
            for part in _blocks(x):
                whitened[part] = (x[part] / np.float64(self.scale) - self.mean) @ self.matrix
        return whitened


def _blocks(x: NDArray[Any]) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, x.shape[0], _ROWS))
