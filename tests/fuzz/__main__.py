"""`make fuzz`: every family's parsers. `make fuzz ARGS="bitcoin --runs 1000000 --seed 7"` chooses."""

import argparse
import importlib
import pkgutil
import sys
import time

import tests.fuzz

RUNS = 100_000


def main() -> None:
    families = [module.name for module in pkgutil.iter_modules(tests.fuzz.__path__) if module.name != "__main__"]
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(families)}")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    for family in given.families or families:
        started = time.monotonic()
        told = importlib.import_module(f"tests.fuzz.{family}").fuzz(given.runs, given.seed)
        seconds = time.monotonic() - started
        sys.stdout.write(f"{family}: {given.runs:,} runs with seed {given.seed} in {seconds:.0f} s: {told}\n")
        sys.stdout.flush()


main()
