"""`bitlinkpay demo`: watch an order being paid."""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bitlinkpay.demo.show import show

_PASSABLE: Final = (
    0o711  # started by root, PostgreSQL runs as a user that has to pass through; keys have folders of their own
)


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show the main job; exit code 0 only if all of it held."""
    parser.add_argument("--exit", action="store_true", help="end instead of staying up for a look")
    parser.add_argument("--data-dir", type=Path, default=None, help="keep the deployment here (an empty folder)")
    given = parser.parse_args(words)
    if given.data_dir:
        given.data_dir.mkdir(parents=True, exist_ok=True)
        return 0 if asyncio.run(show(given.data_dir, stays=not given.exit)) else 1
    with tempfile.TemporaryDirectory(prefix="bitlinkpay-demo-") as folder:
        Path(folder).chmod(_PASSABLE)
        return 0 if asyncio.run(show(Path(folder), stays=not given.exit)) else 1
