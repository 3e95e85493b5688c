"""Say plainly when this Python cannot run the project."""

import sys

LOWEST, BEYOND = (3, 11), (3, 14)

if not LOWEST <= sys.version_info[:2] < BEYOND:
    sys.exit(
        f"BitLink Pay needs Python 3.11, 3.12 or 3.13, this is {sys.version.split()[0]}; "
        "name another one: make demo PYTHON=python3.12"
    )
