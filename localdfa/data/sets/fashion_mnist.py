"""60,000 + 10,000 pictures of clothing, 28 x 28 (31 MB)."""

from localdfa.data import idx
from localdfa.data.dataset import Source

FILES = idx.published(
    "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)


def load() -> Source:
    """Return Fashion-MNIST: 60,000 + 10,000 pictures of clothing, shape (1, 28, 28), pixels 0 .. 255.

    Source: H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms, arXiv:1708.07747.
    """
    return idx.read(FILES)


model = load
