"""Parsers against mutated real data, by the hundred thousand: `make fuzz`. One module a family, each with `fuzz(runs, seed)`."""
