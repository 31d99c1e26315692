"""40 views, 32 x 32, of three coloured spheres, drawn by formula."""

import math

import numpy as np
from numpy.typing import NDArray

from localdfa.data.kinds import Views

_VIEWS, _SIZE, _FOCAL, _DISTANCE = 40, 32, 38.0, 4.0
# Each pixel is the mean of so many rays in each direction.
_RAYS = 4
# Of each sphere: its centre, radius and colour.
_SPHERES = (
    ((0.0, 0.0, 0.0), 0.7, (0.85, 0.2, 0.2)),
    ((1.0, 0.4, 0.3), 0.4, (0.2, 0.7, 0.3)),
    ((-0.6, -0.7, 0.7), 0.45, (0.2, 0.35, 0.9)),
)
_LIGHT = (0.4, 0.3, 0.85)  # direction to the light, about of length 1
_AMBIENT = 0.35


def load() -> Views:
    """Return 40 views from around a scene of three matt spheres (Lambert's law) on white; each 8th is held out.

    The cameras stand on a spiral about the z axis, 4 from the centre, and look at it. Two of the others are for validation.
    """
    turns = 2 * math.pi * np.arange(_VIEWS) * (3 - math.sqrt(5)) / 2  # the golden angle
    heights = np.linspace(0.05, 0.85, _VIEWS)
    poses = np.stack([_pose(turn, height) for turn, height in zip(turns, heights, strict=True)])
    images = np.stack([_seen(pose) for pose in poses])
    places = np.arange(_VIEWS)
    test, valid = places % 8 == 0, np.isin(places, (11, 27))
    return Views(
        images.astype(np.float32), poses.astype(np.float32), _FOCAL, near=2.0, far=6.0,
        train=places[~test & ~valid], valid=places[valid], test=places[test],
    )  # fmt: skip


def _pose(turn: float, height: float) -> NDArray[np.float64]:
    """Of a camera that looks at the centre; height: the sine of its elevation."""
    level = math.sqrt(1 - height**2)
    back = np.array([level * math.cos(turn), level * math.sin(turn), height])
    right = np.array([-math.sin(turn), math.cos(turn), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
    pose[:3, 3] = _DISTANCE * back
    return pose


def _seen(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a camera sees, (height, width, 3)."""
    steps = (np.arange(_SIZE * _RAYS) + 0.5) / _RAYS - _SIZE / 2
    across, down = np.meshgrid(steps / _FOCAL, steps / _FOCAL)
    directions = np.stack([across, -down, -np.ones_like(across)], axis=-1) @ pose[:3, :3].T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    colours, nearest = np.ones_like(directions), np.full(directions.shape[:2], np.inf)
    for centre, radius, colour in _SPHERES:
        towards = pose[:3, 3] - np.array(centre)
        along = directions @ towards
        inside = along**2 - (towards @ towards - radius**2)
        distance = -along - np.sqrt(np.maximum(inside, 0))
        hit = (inside > 0) & (distance < nearest)
        normal = (towards + distance[..., None] * directions) / radius
        light = _AMBIENT + (1 - _AMBIENT) * np.clip(normal @ np.array(_LIGHT), 0, 1)
        colours = np.where(hit[..., None], light[..., None] * np.array(colour), colours)
        nearest = np.where(hit, distance, nearest)
    return colours.reshape(_SIZE, _RAYS, _SIZE, _RAYS, 3).mean(axis=(1, 3))


model = load
