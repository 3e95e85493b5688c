"""An operator's commands, each in a process of its own that is forked from one where all of them are imported.

Python and its imports cost half a second of a core, and who waits for a deployment asks again and again: four tests at
once kept two cores busy with starting. That the program starts from nothing is shown by what is not run here: `serve` and
its children, the demo, and every test that names `bitlinkpay.cli.main` in a command line.
"""

import asyncio
import multiprocessing
import multiprocessing.forkserver
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bitlinkpay.cli.main import COMMANDS, main

_FORKS = multiprocessing.get_context("forkserver")


class Ended(NamedTuple):
    """What is left of a command."""

    code: int
    out: str
    err: str


def open_office() -> None:
    """Begin to import, while there is other work; the first command does it otherwise, and waits."""
    _FORKS.set_forkserver_preload([__name__, *(f"bitlinkpay.cli.{module}" for module, _ in COMMANDS.values())])
    multiprocessing.forkserver.ensure_running()


async def run_command(*words: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run `bitlinkpay WORDS`, to its end, in this process's environment and what is added to it."""
    open_office()
    with tempfile.TemporaryDirectory(prefix="blp-office-") as name:
        out, err = Path(name) / "out", Path(name) / "err"
        process = _FORKS.Process(target=_run, args=(words, {**os.environ, **(environment or {})}, out, err))
        process.start()
        try:
            await _end_of(process.sentinel)
        except asyncio.CancelledError:
            process.kill()
            raise
        process.join()
        return Ended(process.exitcode or 0, out.read_text(), err.read_text())


async def _end_of(sentinel: int) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sentinel)


def _run(words: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
    """Be the command: its own words, output and exit code."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in ((1, out), (2, err)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    sys.exit(main(words))
