"""A platform per schedule."""

from tests.flows.conftest import pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
