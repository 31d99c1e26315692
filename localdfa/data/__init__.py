"""Data sets: found or downloaded, verified, parsed safely, split and scaled."""

from localdfa.data.dataset import Dataset
from localdfa.data.prepare import available, check_name, load, read
from localdfa.data.trains import Inputs, Trains

__all__ = ["Dataset", "Inputs", "Trains", "available", "check_name", "load", "read"]
