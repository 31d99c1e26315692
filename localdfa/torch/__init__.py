"""Direct feedback alignment and the local rule for any PyTorch module.

import localdfa.torch

learner = localdfa.torch.feedback(model, inputs, ["act1", "act2"], rule="local")
print(learner)  # who is trained by what

loss = criterion(model(inputs), targets)
learner.backward(loss)  # in place of loss.backward()
optimiser.step()

`localdfa.Log` keeps what such a loop measures in a run directory, with tables, figures and a report.
"""

from localdfa.registry import PYTORCH

try:
    import torch as _  # noqa: F401
except ImportError:
    raise ImportError(f"localdfa.torch {PYTORCH}") from None

from localdfa.torch.learner import Alignment, Learner, feedback

__all__ = ["Alignment", "Learner", "feedback"]
