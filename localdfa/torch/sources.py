"""Who is trained by what: an example is run once, and its graph is followed down from the loss and from each tap."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from localdfa.errors import SpecError
from localdfa.torch.graph import Reach, constants, goes_past, reach
from localdfa.torch.taps import SINGLE, Taps, called, fresh, tensors


class Source(NamedTuple):
    """What trains a parameter.

    by: the name of a tap, "loss", or "" where nothing does. through: what the signal passes before it by back-propagation
    within a block: weights of other layers by their names, and non-linearities in angle brackets. also: the sources of further
    signals that are added.
    """

    by: str
    through: frozenset[str] = frozenset()
    also: "tuple[Source, ...]" = ()

    @property
    def each(self) -> "tuple[Source, ...]":
        """This source and those whose signals are added."""
        return (self, *self.also)


class Example(NamedTuple):
    """What one forward pass showed: the source of each parameter by name, the shapes of what signals go to, by tap in the order
    in which they are reached, and those points and the output themselves, without their graph; and which tensors of those that
    the module gives depend on taps past the output."""

    sources: dict[str, Source]
    points: dict[str, Tensor]
    out: Tensor
    past: set[int]


def looked_at(taps: Taps, example: Any, rule: str, inside: bool, several: bool) -> Example:
    """Run an example, and say who is trained by what.

    inside: whether, under `local`, blocks may learn within by back-propagation. several: whether a parameter may get more than
    one signal.

    Raises
    ------
    SpecError
        A tap is not reached or twice, lies above the output, has nothing to teach or, under `local`, is no non-linearity of
        single neurons; a parameter gets no signal or more than one; a block has no local form.
    """
    with taps.passing("prepare"):
        inputs = fresh(example)
        given = called(taps.model, inputs)
        points, out = dict(taps.points), taps.out
        if missing := [name for name in taps.names if name not in points]:
            raise SpecError(
                f"taps: {missing[0]!r} is not reached in a forward pass of the example, or under no_grad(), as a checkpoint "
                f"with use_reentrant=True has it; allowed: a module that is called while autograd follows"
            )
        if out is None:
            raise SpecError(f"output: {taps.output!r} is not reached in a forward pass of the example")
        taps.check_passed()
        if rule == "local":
            _check_single(taps, points)
        names = {id(parameter): name for name, parameter in taps.model.named_parameters() if parameter.requires_grad}
        # Of a tuple that a tap gives the first tensor gets the signal.
        ends = {id(leaf): name if k == 0 else "" for name, leaves in taps.leaves.items() for k, leaf in enumerate(leaves)}
        ends |= {id(tensor): "" for tensor in tensors(inputs)}
        above = [tensor for tensor in tensors(given) if tensor.requires_grad]
        known = constants([*taps.model.buffers(), *tensors(inputs)])
        ways = {"loss": reach(above, names, ends, True, known)}
        if rule != "bp":
            ways |= {name: reach([point], names, ends, rule != "local", known) for name, point in points.items()}
            _check_order(taps, ways, reach([out], names, ends, True, known), rule)
        sources = _assigned(ways, list(names.values()), rule, several)
        if rule == "local" and not inside:
            _check_local(sources)
        past = {k for k, tensor in enumerate(tensors(given)) if taps.output and goes_past(tensor, out, ends)}
        return Example(sources, {name: point.detach() for name, point in points.items()}, out.detach(), past)


def _assigned(ways: Mapping[str, Reach], names: list[str], rule: str, several: bool) -> dict[str, Source]:
    """The source of each parameter, one unless several are allowed."""
    by = {name: [source for source, way in ways.items() if name in way.passed] for name in names}
    for name, found in by.items():
        if len(found) > 1 and not several:
            first, second = [f"the {source}" if source == "loss" else f"tap {source!r}" for source in found[:2]]
            raise SpecError(
                f"taps: parameter {name!r} would be taught by {first} and by {second}: a way goes past a tap, so it would "
                f"learn by back-propagation, or two layers share it; allowed: a tap on each way from {name!r} up, and layers "
                f"with weights of their own, or several='add', by which the signals are added"
            )
    if rule == "shallow":
        return {name: Source("loss" if "loss" in found else "") for name, found in by.items()}
    if lost := [name for name, found in by.items() if not found]:
        raise SpecError(
            f"taps: no signal reaches {', '.join(map(repr, lost[:5]))}{' …' if len(lost) > 5 else ''}; allowed: a tap above, "
            f"or requires_grad_(False)"
        )
    each = {name: [Source(source, ways[source].passed[name]) for source in found] for name, found in by.items()}
    return {name: first._replace(also=tuple(others)) for name, (first, *others) in each.items()}


def _check_local(sources: Mapping[str, Source]) -> None:
    for name, source in ((name, source) for name, first in sources.items() for source in first.each):
        if source.by != "loss" and source.through:
            raise SpecError(
                f"taps: between {name!r} and tap {source.by!r} lie {', '.join(sorted(source.through)[:5])}, through which no "
                f"local signal goes; allowed: a tap at each non-linearity between, or inside='bp', by which such blocks learn "
                f"by back-propagation from their tap"
            )


def _check_order(taps: Taps, ways: Mapping[str, Reach], above: Reach, rule: str) -> None:
    """Each tap lies below the output, and has something to teach."""
    below, waiting = set(above.cuts), [name for name in above.cuts if name]
    while waiting:
        new = ways[waiting.pop()].cuts - below
        below |= new
        waiting += [name for name in new if name]
    for name in taps.names:
        if name not in below:
            raise SpecError(
                f"taps: what {taps.output_said} gives does not depend on {name!r}, or not on the first tensor that it gives; "
                f"allowed: taps below it"
            )
        if not ways[name].passed and rule != "shallow":
            raise SpecError(f"taps: there is no parameter between {name!r} and the taps below; allowed: another place, or none")


def _check_single(taps: Taps, points: Mapping[str, Tensor]) -> None:
    """Where half of the neurons get another drive, the others answer as before."""
    for name, drive in points.items():
        function = taps.model.get_submodule(name).forward
        with torch.no_grad():
            a = drive.detach().clone()
            # Scattered, so that there are both along each axis.
            moved = (torch.rand(a.shape, generator=torch.Generator().manual_seed(0)) < 0.5).to(a.device)
            before, after = function(a.clone()), function(torch.where(moved, a + 1, a))
        same = isinstance(before, Tensor) and before.shape == a.shape and torch.equal(before[~moved], after[~moved])
        if not same:
            raise SpecError(f"taps: under 'local' {name!r} {SINGLE}")
        if not torch.equal(before, taps.activity[name]):
            raise SpecError(
                f"taps: a hook changes what {name!r} takes in or gives, which the local rule does not hear of; allowed: none, "
                f"or what it does in a module that contains {name!r}"
            )
