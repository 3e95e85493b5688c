"""The sandbox's buttons, and that a live deployment has none."""

from datetime import timedelta

import pytest
from tests.web.checkout.conftest import Window
from tests.web.checkout.shop import OPENED, SCENES, order, pre_order

from bitlinkpay.core.ids import new_uuid7


async def test_a_live_deployment_has_no_sandbox_routes_and_no_buttons(window: Window) -> None:
    path = window.show(order())
    html = (await window.live.get(path)).text
    assert "/sandbox/" not in html
    assert 'class="sandbox"' not in html
    for action in ("pay", "mine", "clock"):
        answer = await window.live.post(path.replace("/pay/", f"/sandbox/{action}/"), data={"minutes": "30"})
        assert answer.status_code == 404
    assert window.clock.now() == OPENED


async def test_a_sandbox_is_unmistakable_on_every_page(window: Window) -> None:
    for name, scene in SCENES.items():
        window.clock.set(OPENED + scene.at)
        assert '<p class="sandbox">' in (await window.sandbox.get(window.show(scene.make()))).text, name


async def test_a_sandbox_order_is_paid_and_mined_by_buttons(window: Window) -> None:
    view = order()
    path = window.show(view)
    back = await window.sandbox.post(path.replace("/pay/", "/sandbox/pay/"), data={"amount": "", "lang": "zh-Hans"})
    assert (back.status_code, back.headers["location"]) == (303, f"{path}?lang=zh-Hans")
    assert "Payment seen" in (await window.sandbox.get(path)).text
    await window.sandbox.post(path.replace("/pay/", "/sandbox/mine/"), data={"blocks": "1"})
    assert window.shop.views[view.payin_id].state == "paid"


async def test_a_sandbox_order_can_be_paid_wrongly(window: Window) -> None:
    path = window.show(order())
    await window.sandbox.post(path.replace("/pay/", "/sandbox/pay/"), data={"asset": "usdt-tron", "amount": "8"})
    assert "8.00 of 10.00 USDT received" in (await window.sandbox.get(path)).text
    await window.sandbox.post(path.replace("/pay/", "/sandbox/pay/"), data={"asset": "trx-tron", "amount": "35"})
    assert "Sent in another coin: TRX" in (await window.sandbox.get(path)).text


async def test_the_sandbox_clock_moves_business_time(window: Window) -> None:
    path = window.show(order())
    await window.sandbox.post(path.replace("/pay/", "/sandbox/clock/"), data={"minutes": "30"})
    assert window.clock.now() == OPENED + timedelta(minutes=30)
    assert "Time is up" in (await window.sandbox.get(path)).text


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("clock", {"minutes": "0"}),
        ("clock", {"minutes": "-5"}),
        ("clock", {"minutes": "1e3"}),
        ("clock", {"minutes": "99999999"}),
        ("clock", {}),
        ("mine", {"blocks": "101"}),
        ("mine", {"blocks": "٣"}),
        ("pay", {"amount": "1,5"}),
        ("pay", {"amount": "0.0000001"}),
        ("pay", {"asset": "gold"}),
    ],
)
async def test_sandbox_buttons_refuse_nonsense(window: Window, action: str, form: dict[str, str]) -> None:
    view = order()
    answer = await window.sandbox.post(window.show(view).replace("/pay/", f"/sandbox/{action}/"), data=form)
    assert answer.status_code == 400
    assert window.clock.now() == OPENED
    assert window.shop.views[view.payin_id] == view


async def test_sandbox_buttons_know_no_order_that_is_none(window: Window) -> None:
    for action in ("pay", "mine", "clock"):
        answer = await window.sandbox.post(f"/sandbox/{action}/{new_uuid7().hex}", data={"minutes": "1"})
        assert answer.status_code == 404


async def test_sandbox_buttons_refuse_other_sites(window: Window) -> None:
    path = window.show(order()).replace("/pay/", "/sandbox/clock/")
    answer = await window.sandbox.post(path, data={"minutes": "1"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


async def test_a_pre_order_has_nothing_to_pay_yet(window: Window) -> None:
    html = (await window.sandbox.get(window.show(pre_order()))).text
    assert "/sandbox/pay/" not in html
    assert "/sandbox/clock/" in html
