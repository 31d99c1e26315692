"""Feedback to taps of modules that are compiled, run in mixed precision, or wrapped for several processes."""

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from localdfa.torch import feedback  # noqa: E402

RULES = ["dfa", "local"]


def small():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def batch():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(8, 5, generator=generator).double(), torch.randint(3, (8,), generator=generator)


def taught(rule, wrap=lambda model: model, where="cpu"):
    """The gradients of one step."""
    model, (x, y) = small().to(where), batch()
    x, y = x.to(where), y.to(where)
    learner = feedback(model, x, ["1", "3"], rule, seed=4)
    called = wrap(model)
    for _ in range(2):  # the second from a graph that is compiled already
        model.zero_grad()
        learner.backward(F.cross_entropy(called(x), y))
    return [parameter.grad for parameter in model.parameters()]


# PyTorch's own warnings while it compiles.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("rule", RULES)
def test_a_compiled_module_is_taught_the_same(rule):
    torch.compiler.reset()
    plain = taught(rule)
    compiled = taught(rule, lambda model: torch.compile(model, backend="aot_eager"))
    for a, b in zip(plain, compiled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
def test_mixed_precision_and_a_scaled_loss(rule):
    """Under autocast in bfloat16 the update is that in full precision to its eight bits; the scaler divides out again."""
    model, (x, y) = small().float(), batch()
    learner = feedback(model, x.float(), ["1", "3"], rule, seed=4)
    learner.backward(F.cross_entropy(model(x.float()), y))
    full = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model(x.float()), y)
    learner.backward(4096 * loss)
    for exact, parameter in zip(full, model.parameters(), strict=True):
        assert (parameter.grad / 4096 - exact).norm() < 0.03 * exact.norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
@pytest.mark.parametrize("rule", RULES)
def test_a_gpu_teaches_the_same(rule):
    for a, b in zip(taught(rule), taught(rule, where="cuda"), strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-10, atol=1e-13)


WORKER = """
import os
import sys
import torch
import torch.distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from localdfa.torch import feedback
from test_torch_wrapped import batch, small

dist.init_process_group("gloo")
rank, (x, y) = dist.get_rank(), batch()
x, y = x[4 * rank : 4 * rank + 4], y[4 * rank : 4 * rank + 4]
for rule in ("dfa", "local"):
    model = small()
    learner = feedback(model, x, ["1", "3"], rule, seed=4)
    wrapped = DistributedDataParallel(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        learner.backward(F.cross_entropy(wrapped(x), y))
        optimiser.step()
    if rank == 0:
        torch.save(model.state_dict(), f"{sys.argv[1]}/{rule}.pt")
dist.barrier()
os._exit(0)  # now and then gloo's threads abort a process that ends in any other way, long after it has learned
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "worker.py", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    done = run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    x, y = batch()
    for rule in RULES:
        model = small()
        learner = feedback(model, x, ["1", "3"], rule, seed=4)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            learner.backward(F.cross_entropy(model(x), y))
            optimiser.step()
        theirs = torch.load(tmp_path / f"{rule}.pt")
        for name, parameter in model.state_dict().items():
            torch.testing.assert_close(theirs[name], parameter, rtol=1e-12, atol=1e-14)
