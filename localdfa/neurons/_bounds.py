"""Bounds that models of neurons share."""

from typing import Annotated

from pydantic import AfterValidator, Field

from localdfa.neurons import zero_or

# Time constant of a rate neuron's drive, ms: 0 settles at once.
RateTau = Annotated[float, Field(ge=0, le=1e4), AfterValidator(zero_or(0.1))]
