"""Our own client of the SDK protocol, for merchants in Python, for the demo and for tests."""
