"""A platform per schedule."""

from tests.flows.conftest import ring, start  # noqa: F401 - fixtures of the flows serve here too
