"""Keys of random matrices that do not go together, or that B does not keep where it changes."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from localdfa.errors import quoted
from localdfa.spec.tables import FeedbackTable

if TYPE_CHECKING:
    from localdfa.feedback._pathway import Pathway


def wrong_in(
    table: FeedbackTable, pathways: "Iterable[tuple[str, type[Pathway]]]", prefix: str = "feedback."
) -> Iterator[str]:  # fmt: skip
    """What is wrong in a table, a line ``key: reason`` each.

    pathways: each that B is made for, and under what, as messages say it; prefix: of keys in messages.
    """
    if table.rank is not None and (table.density < 1 or table.signs != "free"):
        name = "density" if table.density < 1 else "signs"
        yield (
            f"{prefix}rank: {table.rank} would not stay so with {prefix}{name} = {quoted(getattr(table, name))}; allowed: "
            f"density = 1 and signs = 'free', or no rank"
        )
    if table.distribution == "orthogonal":
        for name, plain in (("density", 1.0), ("rank", None), ("signs", "free"), ("shared", False)):
            if (value := getattr(table, name)) != plain:
                yield (
                    f"{prefix}distribution: 'orthogonal' would not last with {prefix}{name} = {quoted(value)}; allowed with "
                    f"it: 'uniform', 'normal'"
                )
    for under, pathway in pathways:
        for name in ("density", "rank", "signs", "shared", "distribution"):
            value, plain = getattr(table, name), FeedbackTable.model_fields[name].default
            if value not in (plain, "normal") and pathway.changes() and name not in pathway.keeps:
                allowed = "none" if plain is None else quoted(plain)
                yield (
                    f"{prefix}{name}: {quoted(value)} would not last, as {under} changes B; allowed: {allowed}, or a pathway "
                    f"whose B is fixed"
                )


def useless_rank(rank: int, most: int, prefix: str = "feedback.") -> str:
    """What is wrong with a rank that leaves B as it is; most: dimensions that B has."""
    return f"{prefix}rank: {rank} leaves B as it is, which has {most} dimensions; allowed here: fewer, or none"
