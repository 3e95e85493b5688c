"""What a deployment is for."""

from enum import StrEnum


class Mode(StrEnum):
    """Set at a deployment's creation, for ever."""

    SANDBOX = "sandbox"
    LIVE = "live"
