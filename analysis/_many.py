"""Experiments of many conditions: how many have panels of their own, and their names above narrow panels."""

import textwrap

# Of more conditions, so many have a panel of their own.
MOST = 24
# Of a title, inches a character.
_CHARACTER = 0.066


def said(number: int, most: int = MOST) -> str:
    """A sentence of the caption where not all conditions are drawn."""
    return "" if number <= most else f" Of {number} conditions the first {most} are drawn."


def folded(name: str, width: float) -> str:
    """A name in as many lines as it needs above a panel of this width, inches."""
    return "\n".join(textwrap.wrap(name, max(8, int(width / _CHARACTER)))) or name
