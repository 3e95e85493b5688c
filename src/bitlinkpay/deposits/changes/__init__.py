"""How deposits are written: each state with the events that led to it, in one statement."""
