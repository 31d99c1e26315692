"""Data sets: found or downloaded, verified, parsed safely, split and scaled."""

from localdfa.data.dataset import Dataset, Source
from localdfa.data.prepare import Preparation, available, check_name, load, preparation, read
from localdfa.data.sensors import from_events
from localdfa.data.trains import Inputs, Trains

__all__ = [
    "Dataset", "Inputs", "Preparation", "Source", "Trains", "available", "check_name", "from_events", "load", "preparation",
    "read",
]  # fmt: skip
