"""Augmentation: training images are cropped and mirrored at random, each time that they are learned from."""

from dataclasses import dataclass

import numpy as np
from numba import prange

from localdfa.core.compiled import compiled, device
from localdfa.spec import Augment


@dataclass(frozen=True)
class Augmentation:
    """Random crops and mirror images of one data set.

    spec: its table `augment`. shape: of a whole image, (channels, height, width). Images have their pixels in (channel, row,
    column) order, one row an image, as `samples.Part` has them.
    """

    spec: Augment
    shape: tuple[int, int, int]

    @property
    def cropped(self) -> tuple[int, int, int]:
        """Shape of what the network sees of an image."""
        channels, height, width = self.shape
        return (channels, self.spec.crop, self.spec.crop) if self.spec.crop else (channels, height, width)

    def central(self, images: np.ndarray) -> np.ndarray:
        """The middle of each image, (n, n_seen + 1) of (n, n_pixels + 1), whose last column is ones.

        Where there is no middle pixel it is nearer to the upper left. Images that are seen whole are returned as they are.
        """
        if self.cropped == self.shape:
            return images
        m = len(images)
        top, left = (np.full(m, (whole - seen) // 2) for whole, seen in zip(self.shape[1:], self.cropped[1:], strict=True))
        return self._cut(images, np.arange(m), top, left, np.zeros(m, np.bool_))

    def draw(self, images: np.ndarray, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Some of the images, (m, n_seen + 1), each cropped anywhere within its border of zeros, and half of them mirrored.

        samples: which of them, (m,).
        """
        m, border, whole, seen = len(samples), self.spec.padding, self.shape[1:], self.cropped[1:]
        top, left = (rng.integers(-border, n + border - k + 1, m) for n, k in zip(whole, seen, strict=True))
        mirrored = rng.random(m, np.float32) < 0.5 if self.spec.flip else np.zeros(m, np.bool_)
        return self._cut(images, samples, top, left, mirrored)

    def _cut(
        self, images: np.ndarray, samples: np.ndarray, top: np.ndarray, left: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        channels, rows, columns = self.cropped
        out = np.empty((len(samples), channels * rows * columns + 1), images.dtype)
        _cut(images, samples, self.shape, top, left, mirrored, rows, columns, out)
        return out


@compiled(parallel=True, error_model="numpy")
def _cut(
    images,  # (n, channels · height · width + 1)
    samples,  # (m,): the image of each row of `out`
    shape,  # channels, height and width of an image
    top,  # (m,): the first row of the crop, which may lie in the border
    left,  # (m,): its first column
    mirrored,  # (m,): whether left and right are exchanged
    rows,  # of the crop
    columns,  # of the crop
    out,  # (m, channels · rows · columns + 1) becomes the crops, zero in the border, and a column of ones
):
    """Gather, crop and mirror images in one pass."""
    for s in prange(samples.size):
        _cut_one(images[samples[s]], shape, top[s], left[s], mirrored[s], rows, columns, out[s])


@device
def _cut_one(image, shape, top, left, mirrored, rows, columns, out):
    """One row of `_cut`."""
    channels, height, width = shape
    x0 = min(columns, max(0, -left))  # the columns of the crop from here to x1 lie in the image
    x1 = max(x0, min(columns, width - left))
    for c in range(channels):
        for y in range(rows):
            to, at = (c * rows + y) * columns, (c * height + top + y) * width + left
            inside = 0 <= top + y < height
            if not inside or x1 - x0 < columns:
                for x in range(columns):
                    out[to + x] = 0
            if inside and mirrored:
                for x in range(x0, x1):
                    out[to + columns - 1 - x] = image[at + x]
            elif inside:
                for x in range(x0, x1):
                    out[to + x] = image[at + x]
    out[out.size - 1] = 1
