"""Where tensors live and how exactly they are computed with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from localdfa.errors import LocalDFAError


def device(name: str) -> torch.device:
    """``cpu`` or ``cuda``.

    Raises
    ------
    LocalDFAError
        A GPU is asked for and PyTorch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise LocalDFAError(f"--device cuda: PyTorch {torch.__version__} sees no GPU here; allowed: cpu")
    return torch.device(name)


@contextmanager
def arithmetic(deterministic: bool = True, tf32: bool = False) -> Iterator[None]:
    """The same bits each time, and no products in TF32, unless asked for otherwise; settings are put back at the end."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
        cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark,
    )  # fmt: skip
    if deterministic:  # read by cuBLAS when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.use_deterministic_algorithms(deterministic)
        cuda.allow_tf32, cudnn.allow_tf32 = tf32, tf32
        cudnn.benchmark = not deterministic
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cuda.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before[2:]
