"""`bitlinkpay worker`: the loops of a deployment, in one process; any number may run."""

import argparse
import asyncio
from collections.abc import Sequence

import uvloop

from bitlinkpay.app.worker import run_worker
from bitlinkpay.cli.console import add_data_dir, find_deployment, start_log
from bitlinkpay.notifier import Notifier


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Work until terminated."""
    add_data_dir(parser)
    settings = find_deployment(parser.parse_args(words).data_dir)
    start_log(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_worker(settings, Notifier.take()))
    return 0
