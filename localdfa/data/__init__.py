"""Data sets: found or downloaded, verified, parsed safely, split and scaled."""

from localdfa.data.dataset import Dataset
from localdfa.data.registry import available, load

__all__ = ["Dataset", "available", "load"]
