"""Values and rules without I/O: money, assets, ids, errors, state machines, clocks."""
