"""50,000 + 10,000 colour images in 10 classes, 32 x 32 (170 MB)."""

from localdfa.data import cache, cifar
from localdfa.data.dataset import Source

BATCHES = cifar.Batches(
    cache.Remote(
        "cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
    ),
    train={
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e"},
    train_rows=10_000,
    test_rows=10_000,
    labels="labels",
    n_classes=10,
)


def load() -> Source:
    """Return CIFAR-10: 50,000 + 10,000 images, shape (3, 32, 32) in red, green, blue, pixels 0 .. 255, ten classes.

    Source: A. Krizhevsky (2009), Learning multiple layers of features from tiny images, technical report,
    University of Toronto.
    """
    return cifar.read(BATCHES)


model = load
