"""What a module of PyTorch in the place of layers reads of a spec, and a loop of one's own; all else is refused."""

from collections.abc import Iterator, Mapping
from typing import Any

from localdfa import registry
from localdfa.data import Dataset
from localdfa.errors import quoted
from localdfa.spec import matrices
from localdfa.spec.tables import Certify, Experiment, FeedbackTable, Preprocess, Setting

# The rules, and what `localdfa.torch.feedback` calls them.
RULES = {"bp": "bp", "dfa": "dfa", "drtp": "drtp", "local": "local", "frozen": "shallow"}
# Of each rule that sends something back to taps: the pathways that it takes, its own first.
PATHWAYS = {
    "dfa": ("direct", "drtp", "sign_error", "direct_kolen_pollack"),
    "drtp": ("drtp",),
    "local": ("direct", "drtp", "sign_error", "direct_kolen_pollack"),
}
# Those of torch.optim that have a model here.
_OPTIMISERS = ("adam", "momentum", "rmsprop", "sgd")
# The keys that are read, by table; None: all of it, or it is a key itself.
_READ: dict[str, tuple[str, ...] | None] = {
    "rule": None,
    "batch_size": None,
    "precision": None,
    "module": None,
    "optimiser": None,
    "feedback": ("pathway", *FeedbackTable.DRAWN, "spread"),
    "phases": ("beta", "nudging"),
    "stage": ("epochs", "learning_rate", "schedule", "patience", "keep"),
}
# The same of a loop of one's own, which says the rest beside `loop.predicts`.
_READ_OF_LOOPS: dict[str, tuple[str, ...] | None] = {
    "rule": None, "loop": None, "feedback": _READ["feedback"], "phases": _READ["phases"]
}  # fmt: skip
# Of the table `record`, what needs no recorder of layers.
_RECORDED = ("probe", "train", "checkpoint", "activity")


def model_of(setting: Setting) -> Any:
    """The model of a setting's module (`localdfa.modules`)."""
    assert setting.module is not None
    return registry.get("modules", setting.module.name)


def brings_parts(setting: Setting) -> bool:
    """Whether the parts of the data that are learned from, chosen by and tested on are not made by the spec."""
    return setting.loop is not None or (setting.module is not None and model_of(setting).reads is not Dataset)


def check(setting: Setting) -> None:
    """Refuse what a module does not read, or cannot learn by; ValueError, a line ``key: reason`` each."""
    if setting.loop is not None:
        stands, read = "loop says what stands in their place", _READ_OF_LOOPS
    else:
        stands, read = f"module.name = {quoted(setting.computed_by)} stands in their place", _READ
    wrong = [
        f"{key}: {quoted(value)} is of networks of layers, and {stands}; allowed with it: leave it out"
        for key, value in _unread(setting, read)
    ]
    allowed = ", ".join(RULES)
    if setting.rule not in RULES:
        wrong.append(f"rule: {quoted(setting.rule)} is no rule for modules of PyTorch; allowed with one: {allowed}")
    pathway, taken = setting.feedback.pathway, PATHWAYS.get(setting.rule, ())
    if pathway is not None and taken and pathway not in taken:
        wrong.append(
            f"feedback.pathway: {quoted(pathway)} does not go with modules of PyTorch under rule = {quoted(setting.rule)}; "
            f"allowed: {', '.join(taken)}"
        )
    if taken:
        sent = pathway if pathway in taken else taken[0]
        under = f"under rule = {setting.rule!r} feedback.pathway = {sent!r}"
        wrong += matrices.wrong_in(setting.feedback, [(under, registry.get("feedback", sent))])
    if setting.loop is None:
        wrong += _wrong_with(model_of(setting), setting)
    if wrong:
        raise ValueError("\n".join(wrong))


def _wrong_with(model: Any, setting: Setting) -> Iterator[str]:
    """What of a setting does not go with the model of its module."""
    if setting.optimiser.name not in _OPTIMISERS:
        yield (
            f"optimiser.name: {quoted(setting.optimiser.name)} is not one of PyTorch's; allowed with a module: "
            f"{', '.join(_OPTIMISERS)}"
        )
    if len(setting.stage) > 1:
        yield f"stage: a module of PyTorch is trained in one; allowed: 1, not {len(setting.stage)}"
    if getattr(model.reads, "whole", False) and setting.batch_size != Setting.model_fields["batch_size"].default:
        yield (
            f"batch_size: {setting.batch_size}, but module.name = {quoted(setting.computed_by)} sees all of its data in each "
            f"step; allowed: leave it out"
        )
    sends_target = setting.rule == "drtp" or (setting.rule in PATHWAYS and setting.feedback.pathway == "drtp")
    # An output that is a property depends on parameters; then the learner says what does not fit.
    elsewhere = isinstance(model.output, str) and bool(model.output)
    if sends_target and (elsewhere or getattr(model.reads, "whole", False)):
        why = "takes its error before the output that has targets" if elsewhere else "has samples that show no label"
        key = "rule" if setting.rule == "drtp" else "feedback.pathway"
        yield f"{key}: 'drtp' sends the target, but module.name = {quoted(setting.computed_by)} {why}; allowed: another one"
    if setting.feedback.spread and not hasattr(model, "spread"):
        yield (
            f"feedback.spread: true, but module.name = {quoted(setting.computed_by)} has no neighbours to pass an error on to; "
            f"allowed: false, or a module of graphs"
        )


def idle(setting: Setting) -> set[tuple[str, str]]:
    """The keys, by table and name, that a module reads under other rules than that of a setting."""
    found = set[tuple[str, str]]()
    if setting.rule != "local":
        found |= {("phases", "beta"), ("phases", "nudging"), ("module", "inside")}
    if setting.rule not in PATHWAYS:
        found |= {("feedback", key) for key in _READ["feedback"] or ()}
    return found


def check_whole(experiment: Experiment, conditions: Mapping[str, Setting]) -> None:
    """As `check`, of what an experiment with modules says besides its settings."""
    wrong = []
    if experiment.certify != Certify():
        wrong.append("certify: a certificate is of networks of layers; allowed with a module: leave it out")
    if any(map(brings_parts, conditions.values())) and experiment.preprocess != Preprocess():
        wrong.append(
            f"preprocess: {quoted(experiment.preprocess.model_dump(exclude_defaults=True))} is for samples with labels; data = "
            f"{quoted(experiment.data)} have their own parts and scale; allowed: leave it out"
        )
    record, recorded = experiment.record, _recorded(next(iter(conditions.values())))
    for key, field in type(record).model_fields.items():
        if key not in recorded and getattr(record, key) != field.default:
            wrong.append(
                f"record.{key}: {quoted(getattr(record, key))} is not read by modules of data = {quoted(experiment.data)}; "
                f"allowed with them: {', '.join(f'record.{name}' for name in recorded) or 'none'}"
            )
    if not any(setting.rule == "local" for setting in conditions.values()):
        for setting in conditions.values():
            if setting.module is not None and setting.module.inside != "none":
                wrong.append(f"module.inside: {quoted(setting.module.inside)} is read only under the rule local; leave it out")
                break
    if wrong:
        raise ValueError("\n".join(wrong))


def _recorded(setting: Setting) -> list[str]:
    """The keys of the table `record` that a module, or a loop of one's own, reads."""
    if setting.loop is not None:
        return []
    reads = model_of(setting).reads
    # Of what is seen as a whole all is looked at; and samples that have classes are shown.
    apart = () if reads is Dataset else ("probe", "train") * reads.whole + ("activity",) * (not reads.classed)
    return [key for key in _RECORDED if key not in apart]


def _unread(setting: Setting, read: Mapping[str, tuple[str, ...] | None]) -> Iterator[tuple[str, Any]]:
    """The keys that a setting sets and that are not among those that are read, with their values."""
    for table, field in Setting.model_fields.items():
        given, default = getattr(setting, table), field.get_default(call_default_factory=True)
        if table not in read:
            if given != default:
                yield table, given.model_dump(exclude_defaults=True) if hasattr(given, "model_dump") else given
            continue
        keys = read[table]
        for k, entry in enumerate(given) if isinstance(given, list) else [(-1, given)] if keys is not None else ():
            for key, of_table in type(entry).model_fields.items():
                value = getattr(entry, key)
                if keys is not None and key not in keys and value != of_table.get_default(call_default_factory=True):
                    yield f"{table}{f'[{k}]' if k >= 0 else ''}.{key}", value


def resolved(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of an experiment, or of a setting, every default spelled out, without what a module does not read."""
    found, of_loop = {}, tables.get("loop") is not None
    read = _READ_OF_LOOPS if of_loop else _READ
    for table, given in tables.items():
        unread = table == "certify" or (of_loop and table in ("record", "preprocess"))
        if unread or (table in Setting.model_fields and table not in read):
            continue
        keys = _RECORDED if table == "record" else read.get(table)
        if keys is None:
            found[table] = given
        elif isinstance(given, list):
            found[table] = [{key: entry[key] for key in keys if key in entry} for entry in given]
        else:
            found[table] = {key: given[key] for key in keys if key in given}
    return found


def parameters(setting: Setting) -> dict[str, Any]:
    """Those of the module, of its own and with their defaults."""
    assert setting.module is not None
    return dict(model_of(setting).Parameters(**setting.module.parameters)._asdict())
