"""`bitlinkpay serve`: everything in one command."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import structs

from bitlinkpay.cli.console import find_data_dir, start_log, whole
from bitlinkpay.core.mode import Mode
from bitlinkpay.notifier import READY_LINE, Notifier
from bitlinkpay.settings import Address, Settings, load_settings
from bitlinkpay.supervisor.deployment import Supervisor

_PORT: Final = whole(0, 65535)


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Serve until interrupted."""
    parser.add_argument("--data-dir", type=Path, default=None, help="folder of the deployment, made when missing")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=None, help="fixed at the first start")
    parser.add_argument("--host", default=None, help="listen here (default 127.0.0.1)")
    parser.add_argument("--wm-port", type=_PORT, default=None, help="merchant API, mutual TLS (default 8443)")
    parser.add_argument("--web-port", type=_PORT, default=None, help="hosted pages (default 8080)")
    given = parser.parse_args(words)
    folder = find_data_dir(given.data_dir)
    settings = load_settings(folder, mode=given.mode)
    settings = replace(
        settings,
        wm=_listen(settings.wm, given.host, given.wm_port),
        web=_listen(settings.web, given.host, given.web_port),
    )
    start_log(settings.log_level)
    return Supervisor(settings, Notifier.take()).run(lambda: _announce(settings))


def _listen(address: Address, host: str | None, port: int | None) -> Address:
    return structs.replace(address, host=host or address.host, port=port or address.port)


def _announce(settings: Settings) -> None:
    print(f"wm {settings.wm_url}")
    print(f"web {settings.web_url}")
    print(READY_LINE, flush=True)
