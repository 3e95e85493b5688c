"""What a merchant's person shows, on the command line: its place, its device, payment password and one-time code."""

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import payouts_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.app.settling import Settling, settling_of
from bitlinkpay.authorizations.model import Shown
from bitlinkpay.cli.merchant_security import PASSWORD_VARIABLE, read_password

DEVICE_VARIABLE: Final = "BITLINKPAY_DEVICE"


def add_proof(parser: argparse.ArgumentParser) -> None:
    """Add what the four checks need."""
    parser.add_argument("--code", required=True, help="the one-time code that the merchant's authenticator shows")
    parser.add_argument(
        "--from", dest="peer", type=_place, default="127.0.0.1", metavar="IP", help="where the merchant sits"
    )
    parser.epilog = f"The payment password comes from ${PASSWORD_VARIABLE}, the device's token from ${DEVICE_VARIABLE}."


def _place(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is no IP address; write one such as 203.0.113.7") from None


def read_proof(given: argparse.Namespace) -> Shown:
    """Return what is shown.

    Raises:
        Invalid: the payment password is neither in the environment nor can be asked for.
    """
    password = read_password("Payment password: ")
    return Shown(peer=given.peer, device=os.environ.get(DEVICE_VARIABLE, ""), password=password, answer=given.code)


@asynccontextmanager
async def open_settling(platform: Platform) -> AsyncIterator[Settling]:
    """Build a deployment's settlements, and take their networks apart again."""
    sealer = await open_sealer(platform.settings, platform.database)
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    try:
        yield settling_of(platform, payouts_of(platform, chains), sealer)
    finally:
        for chain in chains.values():
            await chain.aclose()
