"""`bitlinkpay merchant ...`: payment password, one-time codes and devices, shown to move a merchant's own money.

The operator who runs these has made sure that the merchant asked for it.
"""

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Final

from bitlinkpay.app.platform import Platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.authorizations import passwords, setup, store
from bitlinkpay.authorizations.model import Device
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import parse_id, show_id
from bitlinkpay.db.driver import Tx

PASSWORD_VARIABLE: Final = "BITLINKPAY_PAYMENT_PASSWORD"  # noqa: S105 (the name of a variable)
_ISSUER: Final = "BitLink Pay"
_WALL: Final = SystemClock()

Action = Callable[[Platform, argparse.Namespace], Coroutine[object, object, object]]


def add_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the actions of `ACTIONS`."""
    password = actions.add_parser("set-payment-password", help=f"asks for it, or takes it from ${PASSWORD_VARIABLE}")
    password.add_argument("merchant")
    codes = actions.add_parser("totp", help="show a new key for an authenticator app, or confirm the one shown last")
    codes.add_argument("merchant")
    codes.add_argument("--confirm", default=None, metavar="CODE", help="a code that the app shows")
    devices = actions.add_parser("devices", help="the devices that its people work from; add, confirm or end one")
    devices.add_argument("merchant")
    change = devices.add_mutually_exclusive_group()
    change.add_argument("--add", default=None, metavar="NAME", help="a confirmed one; prints the token that it keeps")
    change.add_argument("--confirm", default=None, metavar="dev_…", help="let one work that introduced itself")
    change.add_argument("--end", default=None, metavar="dev_…", help="let it work no more, at once")


def read_password(prompt: str) -> str:
    """Return the payment password from the environment, or ask where somebody sits before the screen.

    Raises:
        Invalid: neither is possible.
    """
    given = os.environ.get(PASSWORD_VARIABLE, "")
    if given or not sys.stdin.isatty():
        if not given:
            raise Invalid(f"set {PASSWORD_VARIABLE} to the payment password", param="password")
        return given
    return getpass.getpass(prompt)


async def _set_password(platform: Platform, given: argparse.Namespace) -> object:
    stretched = passwords.stretch(read_password("New payment password: "))

    async def work(tx: Tx) -> None:
        merchant = await find_merchant(tx, given.merchant)
        await setup.set_password(tx, merchant.merchant_id, stretched, by=getpass.getuser(), now=_WALL.now())

    await platform.database.unit(work)
    return {"payment_password": "set"}


async def _one_time(platform: Platform, given: argparse.Namespace) -> object:
    sealer = await open_sealer(platform.settings, platform.database)
    by, now = getpass.getuser(), _WALL.now()

    async def work(tx: Tx) -> dict[str, str]:
        merchant = await find_merchant(tx, given.merchant)
        if given.confirm is None:
            uri = await setup.show_authenticator(tx, sealer, merchant, issuer=_ISSUER, by=by, now=now)
            return {"state": "shown", "uri": uri}
        await setup.confirm_authenticator(tx, sealer, merchant.merchant_id, given.confirm, by=by, now=now)
        return {"state": "confirmed"}

    return await platform.database.unit(work, races=("authenticators_one_pending",))


async def _devices(platform: Platform, given: argparse.Namespace) -> object:
    by, now = getpass.getuser(), _WALL.now()

    async def work(tx: Tx) -> object:
        merchant_id = (await find_merchant(tx, given.merchant)).merchant_id
        if given.add is not None:
            new = await setup.introduce_device(tx, merchant_id, given.add, by=by, now=now)
            await setup.confirm_device(tx, merchant_id, new.device.device_id, by=by, now=now)
            return {"id": show_id("dev", new.device.device_id), "name": new.device.name, "token": new.token}
        if given.confirm is not None:
            await setup.confirm_device(tx, merchant_id, parse_id("dev", given.confirm), by=by, now=now)
        if given.end is not None:
            await setup.end_device(tx, merchant_id, parse_id("dev", given.end), by=by, now=now)
        return [_row(device) for device in await store.list_devices(tx, merchant_id)]

    return await platform.database.unit(work)


def _row(device: Device) -> dict[str, object]:
    state = "ended" if device.ended_at else "known" if device.is_known else "introduced"
    return {
        "id": show_id("dev", device.device_id),
        "name": device.name,
        "state": state,
        "created_at": device.created_at.isoformat(),
    }


ACTIONS: Final[dict[str, Action]] = {
    "set-payment-password": _set_password,
    "totp": _one_time,
    "devices": _devices,
}
