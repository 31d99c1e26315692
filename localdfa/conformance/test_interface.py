"""All families: a model has what its family asks for, and nothing that is never read; see `localdfa.interface`."""

import pytest

from localdfa import registry


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in registry.FAMILIES for name in registry.names(family)]
)
def test_it_has_the_hooks_of_its_family_and_no_others(family, name):
    if family == "modules":
        for needed in ("torch", "torch_geometric"):
            pytest.importorskip(needed)
    assert registry.wrong(family, registry.get(family, name)) == []
    assert registry.describe(family, name)
