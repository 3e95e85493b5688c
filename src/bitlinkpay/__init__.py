"""BitLink Pay: a crypto payment platform that a company runs for many merchants."""

__version__ = "0.1.0"
