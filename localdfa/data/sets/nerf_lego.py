"""100 views of a Lego bulldozer, 100 x 100, to be put in place by hand (not for commercial use), for modules."""

import hashlib
import io
import zipfile
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.data import cache
from localdfa.data.kinds import Views
from localdfa.errors import DataError

_FILE, _MD5 = "nerf/lego100.npz", "77465a394634caf88c238a50bbe00aa0"
# Of the synthetic scenes: between which distances from the camera they lie.
_NEAR, _FAR = 2.0, 6.0


def load() -> Views:
    """Return Lego: 100 views, 100 x 100 pixels, and their cameras.

    Each view whose number is divisible by 8 is held out for the test, 13 of them; views 4, 36 and 68 are for validation.

    The set is not published in this size, so it has to be put into the cache folder by hand: arrays `images`
    (n, rows, columns, 3 or 4), bytes or numbers in [0, 1], of which a fourth colour is how opaque they are, on white; `poses`
    (n, 4, 4), from the coordinates of the camera, which looks along its -z, to those of the scene; and `focal`, in pixels: the
    training views of the published scene, reduced from 800 x 800.

    Source: B. Mildenhall, P. P. Srinivasan, M. Tancik, J. T. Barron, R. Ramamoorthi and R. Ng (2020), NeRF: representing scenes
    as neural radiance fields for view synthesis, arXiv:2003.08934, nerf_synthetic/lego; the model is Heinzelnisse's,
    https://www.blendswap.com/blend/11490, CC BY-NC.
    """
    path = cache.folder() / _FILE
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; nerf-lego cannot be downloaded: put the training views of nerf_synthetic/lego there, as "
            f"numpy.savez writes them: images (100, 100, 100, 3), poses (100, 4, 4) and focal"
        )
    content = cache.read_verified(path, None)
    views = assemble(content, str(path))
    if hashlib.md5(content, usedforsecurity=False).hexdigest() == _MD5:
        return views
    return replace(views, notes=(f"{path} is not the file that published figures are of, whose MD5 is {_MD5}",))


def assemble(content: bytes, name: str) -> Views:
    """Read the views of a file, and part them; `load` says how."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            images, poses, focal = arrays["images"], arrays["poses"].astype(np.float32), float(arrays["focal"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{name}: not a file of the arrays images, poses and focal: {error}") from None
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or (images.dtype != np.uint8 and images.dtype.kind != "f"):
        raise DataError(
            f"{name}: images is {images.dtype} of shape {images.shape}; allowed: bytes, or numbers in [0, 1], of shape "
            f"(views, rows, columns, 3 or 4)"
        )
    number = np.arange(len(images))
    tested, valid = number % 8 == 0, number % 32 == 4
    return Views(
        _on_white(images), poses, focal, _NEAR, _FAR,
        np.flatnonzero(~(tested | valid)), np.flatnonzero(valid), np.flatnonzero(tested),
    )  # fmt: skip


def _on_white(images: NDArray[Any]) -> NDArray[np.float32]:
    """Images in [0, 1], with what is behind them where they are not opaque."""
    found = (images / 255 if images.dtype == np.uint8 else images).astype(np.float32)
    if found.shape[-1] == 3:
        return found
    opaque = found[..., 3:]
    return found[..., :3] * opaque + (1 - opaque)


model = load
