"""How modules learn from each kind of data: mini-batches, the loss, and what is measured."""

from typing import Any

from localdfa.data import Dataset
from localdfa.data.kinds import Fields, Graph, Links, Text, Views
from localdfa.torch.tasks._task import Batch, Task
from localdfa.torch.tasks.fields import FieldsTask
from localdfa.torch.tasks.graph import GraphTask
from localdfa.torch.tasks.labels import LabelsTask
from localdfa.torch.tasks.links import LinksTask
from localdfa.torch.tasks.text import TextTask
from localdfa.torch.tasks.views import ViewsTask

# By the kind of data that a module reads.
_TASKS: dict[Any, type[Task]] = {
    Dataset: LabelsTask, Graph: GraphTask, Links: LinksTask, Fields: FieldsTask, Views: ViewsTask, Text: TextTask,
}  # fmt: skip


def of(data: Any) -> type[Task]:
    """The task of data of some kind."""
    return _TASKS[type(data)]


__all__ = ["Batch", "Task", "of"]
