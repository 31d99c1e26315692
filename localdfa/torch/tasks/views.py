"""Views of a scene: the colours that are seen along rays."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Views
from localdfa.errors import DataError, LocalDFAError
from localdfa.torch.tasks._task import Batch, Measured, Task, checked, chosen

# Rays of an epoch at most: a run has a row of metrics an epoch, and few rays are enough to learn much of a scene.
_EPOCH = 100_000
# Rays of which colours are predicted at once.
_CHUNK = 4096
# Pixels in a row of the window of SSIM.
_WINDOW = 11
# Mean squared difference of colours below which images are the same: their PSNR is that of this.
_SAME = 1e-15


class ViewsTask(Task):
    """Inputs: origins (m, 3) and directions (m, 3), of length 1, of rays; outputs (m, 3), colours; mean squared error.

    A ray passes through the middle of its pixel. A mini-batch has rays of all training views at random; an epoch has each of
    them once, or 100,000 where there are more. Measures are of whole images: of as many training views as have no more pixels
    than rays are asked for, and of one at least.
    """

    def __init__(self, data: Views, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        _similarity()
        height, width = self._shape = data.shape[:2]
        if min(height, width) < _WINDOW:
            raise DataError(
                f"images of {height} x {width} pixels; allowed: {_WINDOW} x {_WINDOW}, the window of SSIM, and more"
            )
        self._batch_size, self._dtype = batch_size, dtype
        self._images, self._poses = data.images.reshape(len(data.images), -1, 3), data.poses.astype(np.float64)
        self._parts = {"train": data.train, "valid": data.valid, "test": data.test}
        right, down = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
        ahead = np.stack([right.ravel() / data.focal, -down.ravel() / data.focal, np.full(height * width, -1.0)], axis=1)
        # Of each pixel, in the coordinates of the camera.
        self._directions = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)

    @staticmethod
    def of_epoch(data: Views, model: Callable[[], nn.Module]) -> int:
        height, width = data.shape[:2]
        return min(_EPOCH, len(data.train) * height * width)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        rays = rng.permutation(self._n_rays)[: self.n_train]
        for start in range(0, len(rays), self._batch_size):
            yield self._batch(rays[start : start + self._batch_size])

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        return self._batch(chosen(self._n_rays, number, rng))

    def loss(self, out: Any, target: Tensor) -> Tensor:
        return functional.mse_loss(checked(out, *target.shape), target)

    def _measured(self, model: nn.Module, part: str, most: int | None, rng: np.random.Generator) -> Measured:
        views = self._chosen(part, most, rng)
        if not len(views):
            return {}
        true, images = self._seen(views), self._rendered(model, views)
        each = np.square(images - true).mean(axis=(1, 2, 3))
        similarity = _similarity()
        return {
            "rmse": float(np.sqrt(each.mean())),
            "psnr": float(np.mean(-10 * np.log10(np.maximum(each, _SAME)))),
            "ssim": float(np.mean([
                similarity(
                    one, other, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
                )
                for one, other in zip(images, true, strict=True)
            ])),
            "loss": float(each.mean()),
        }  # fmt: skip

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """image: the held-out views as they are rendered, true: as they are, float32 (n, height, width, 3)."""
        views = self._parts["test"]
        return {"image": self._rendered(model, views).astype(np.float32), "true": self._seen(views).astype(np.float32)}

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        return self._seen(self._chosen("train", most, rng)).reshape(-1, 3)

    @property
    def _n_rays(self) -> int:
        """Of all training views."""
        return len(self._parts["train"]) * len(self._directions)

    def _chosen(self, part: str, most: int | None, rng: np.random.Generator) -> np.ndarray:
        """The views of a part, or those of them that have about as many pixels as `most`."""
        number = None if most is None else max(1, most // len(self._directions))
        return self._parts[part][chosen(len(self._parts[part]), number, rng)]

    def _batch(self, rays: np.ndarray) -> Batch:
        """Rays of the training views, by their places among them all."""
        place, pixels = np.divmod(rays, len(self._directions))
        views = self._parts["train"][place]
        target = torch.from_numpy(self._images[views, pixels]).to(self._dtype)
        return Batch(self._rays(views, pixels), target, len(rays)).to(self.device)

    def _rays(self, views: np.ndarray, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Origins and directions of rays, in the coordinates of the scene."""
        directions = np.einsum("mij,mj->mi", self._poses[views, :3, :3], self._directions[pixels])
        origins = self._poses[views, :3, 3]
        return torch.from_numpy(origins).to(self._dtype), torch.from_numpy(directions).to(self._dtype)

    def _seen(self, views: np.ndarray) -> np.ndarray:
        return self._images[views].reshape(-1, *self._shape, 3).astype(np.float64)

    def _rendered(self, model: nn.Module, views: np.ndarray) -> np.ndarray:
        """Images as the module predicts them, (n, height, width, 3)."""
        place, pixels = np.divmod(np.arange(len(views) * len(self._directions)), len(self._directions))
        colours = []
        for start in range(0, len(pixels), _CHUNK):
            within = slice(start, start + _CHUNK)
            origins, directions = (ray.to(self.device) for ray in self._rays(views[place[within]], pixels[within]))
            colours.append(checked(model(origins, directions), len(origins), 3).cpu().double().numpy())
        return np.concatenate(colours).reshape(-1, *self._shape, 3)


def _similarity() -> Any:
    """SSIM of two images."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise LocalDFAError("views are compared by scikit-image: pip install 'localdfa[views]'") from None
    return structural_similarity
