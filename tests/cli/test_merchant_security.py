"""`bitlinkpay merchant`: payment password, one-time codes and devices, set up by an operator."""

import pytest
from tests.authorizations.people import key_of
from tests.cli.deployment import Deployment

from bitlinkpay.app.authorizing import checks_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.authorizations import onetime
from bitlinkpay.authorizations.model import Action, Authorization, Shown
from bitlinkpay.cli.merchant_security import PASSWORD_VARIABLE
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.clock import SystemClock

PASSWORD = "correct horse battery"
SHOP = "Corner Shop"


def code(key: bytes, steps: int = 0) -> str:
    return onetime.code_at(key, onetime.step_of(SystemClock().now()) + steps)


@pytest.fixture
def shop(sandbox: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    sandbox.merchant(SHOP)
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    return sandbox


def authorize(shop: Deployment, device: str, answer: str) -> Authorization:
    async def work(platform: Platform) -> Authorization:
        async with platform.database.reader() as tx:
            merchant = await find_merchant(tx, SHOP)
        action = Action(merchant.merchant_id, "test.pay", ())
        sealer = await open_sealer(platform.settings, platform.database)
        return await checks_of(platform, sealer).authorize(
            merchant, action, Shown("192.0.2.1", device, PASSWORD, answer)
        )

    return shop.act(work)


def test_a_merchant_that_is_set_up_passes_the_four_checks(shop: Deployment) -> None:
    assert shop.json("merchant", "set-payment-password", SHOP) == {"payment_password": "set"}
    shown = shop.json("merchant", "totp", SHOP)
    key = key_of(shown["uri"])
    assert shown["state"] == "shown"
    assert "does not belong" in shop.refusal("merchant", "totp", SHOP, "--confirm", "000000")
    assert shop.json("merchant", "totp", SHOP, "--confirm", code(key, -1)) == {"state": "confirmed"}
    device = shop.json("merchant", "devices", SHOP, "--add", "office")
    assert device.keys() == {"id", "name", "token"}
    assert authorize(shop, device["token"], code(key)).action == "test.pay"
    (row,) = shop.json("merchant", "devices", SHOP, "--end", device["id"])
    assert (row["id"], row["name"], row["state"]) == (device["id"], "office", "ended")
    assert "token" not in row
    with pytest.raises(Exception, match="not known"):
        authorize(shop, device["token"], code(key, 1))
    assert "no such device" in shop.refusal("merchant", "devices", SHOP, "--confirm", device["id"])


def test_a_weak_or_missing_password_is_refused(shop: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "short")
    assert "10 to 200 characters" in shop.refusal("merchant", "set-payment-password", SHOP)
    monkeypatch.delenv(PASSWORD_VARIABLE)
    assert PASSWORD_VARIABLE in shop.refusal("merchant", "set-payment-password", SHOP)
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    assert "no merchant" in shop.refusal("merchant", "set-payment-password", "Nobody")


def test_a_device_is_done_one_thing_to_at_a_time(shop: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        shop.say("merchant", "devices", SHOP, "--add", "office", "--end", "dev_" + "0" * 32)
    assert ended.value.code == 2
    assert shop.json("merchant", "devices", SHOP) == []
    assert "no such device" in shop.refusal("merchant", "devices", SHOP, "--end", "dev_" + "0" * 32)
