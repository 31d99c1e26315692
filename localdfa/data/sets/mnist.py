"""60,000 + 10,000 handwritten digits, 28 x 28 (12 MB)."""

from localdfa.data import idx
from localdfa.data.dataset import Source

FILES = idx.published(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)


def load() -> Source:
    """Return MNIST: 60,000 + 10,000 handwritten digits, shape (1, 28, 28), pixels 0 .. 255.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), Gradient-based learning applied to document
    recognition, Proceedings of the IEEE 86:2278.
    """
    return idx.read(FILES)


model = load
