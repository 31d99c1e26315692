"""1,115,394 characters of Shakespeare, 65 different ones (1 MB), for modules."""

import numpy as np

from localdfa.data import cache
from localdfa.data.kinds import Text

FILE = cache.Remote(
    "tinyshakespeare/input.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "6fb458f1232090904fb40fe944165e91",
)


def load() -> Text:
    """Return tiny Shakespeare: its first 85 % are learned from, the next 5 % are for validation, the last 10 % for the test.

    Source: A. Karpathy (2015), char-rnn, https://github.com/karpathy/char-rnn; the plays are in the public domain.
    """
    return assemble(cache.read(FILE).decode("utf-8"))


def assemble(text: str) -> Text:
    """Number the characters of a text by their order, and part it; `load` says how."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    symbols, codes = np.unique(points, return_inverse=True)
    test = len(codes) - len(codes) // 10
    valid = test - len(codes) // 20
    return Text(codes[:valid], codes[valid:test], codes[test:], tuple(map(chr, symbols)))


model = load
