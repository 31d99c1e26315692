"""Data sets, one file each: what its authors have published, or what is made here.

The first line of a file's documentation describes the set in a line, with the size of a download. Its `model` is a function
without arguments that returns a `localdfa.data.dataset.Source`, or data of one of the kinds of `localdfa.data.kinds`, which
modules of PyTorch alone read; what is downloaded is read through `localdfa.data.cache`. `_`
in the name of a file stands for `-` in that of the data set.
"""

import inspect
from typing import Any

from localdfa.errors import quoted


def wrong(model: Any) -> list[str]:
    """What of a model is not as written above; see `registry.wrong`."""
    if inspect.isclass(model) or not callable(model):
        return [f"{quoted(model)} is no function"]
    arguments = [each.name for each in inspect.signature(model).parameters.values() if each.default is each.empty]
    return [f"the function takes {', '.join(arguments)}, and is called without arguments"] if arguments else []
