"""50,000 + 10,000 colour images in 100 classes, 32 x 32 (169 MB)."""

from localdfa.data import cache, cifar
from localdfa.data.dataset import Source

BATCHES = cifar.Batches(
    cache.Remote(
        "cifar-100-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
    train={"cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    train_rows=50_000,
    test_rows=10_000,
    labels="fine_labels",
    n_classes=100,
)


def load() -> Source:
    """Return CIFAR-100: 50,000 + 10,000 images as those of CIFAR-10, with its 100 fine classes.

    Source: A. Krizhevsky (2009), Learning multiple layers of features from tiny images, technical report,
    University of Toronto.
    """
    return cifar.read(BATCHES)


model = load
