"""A network or a token that the configuration no longer names while something of it is open: kept, told, never a crash."""

import asyncio
import json
from collections.abc import Callable

import asyncpg
import pytest
from tests.cli.deployment import Deployment

from bitlinkpay.app.networks import MissingRows, chains_of
from bitlinkpay.app.platform import Platform
from bitlinkpay.app.unfinished import check_unfinished
from bitlinkpay.core.mode import Mode
from bitlinkpay.payins.view import find_view

ENDPOINTS = (
    '\n[networks.tron]\nendpoints = ["http://127.0.0.1:9"]\n[networks.ton]\nendpoints = ["http://127.0.0.1:9"]\n'
)
TOKEN = """
[assets.usdx-tron]
network = "tron"
symbol = "USDX"
standard = "TRC20"
contract = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"
decimals = 6
payable_decimals = 6
wm_coin_id = 77
payer_fee_cents = 150
minimum = "0.01"
sanity = "10000000"
"""


@pytest.fixture
def deployment(make: Callable[[Mode], Deployment]) -> Deployment:
    """A live deployment with two networks, a merchant, and an order that waits for TRON."""
    made = make(Mode.LIVE)
    toml = made.folder / "bitlinkpay.toml"
    bare = toml.read_text()
    (made.folder / "bare.toml").write_text(bare)
    toml.write_text(bare + ENDPOINTS)
    made.merchant()
    made.order()
    return made


def switch_off(deployment: Deployment, *networks: str) -> None:
    toml = deployment.folder / "bitlinkpay.toml"
    for network in networks:
        toml.write_text(toml.read_text().replace(f'[networks.{network}]\nendpoints = ["http://127.0.0.1:9"]\n', ""))


def switch_on(deployment: Deployment) -> None:
    bare = (deployment.folder / "bare.toml").read_text()
    (deployment.folder / "bitlinkpay.toml").write_text(bare + ENDPOINTS)


def execute(deployment: Deployment, statement: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(deployment.owner_dsn)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(work())


def status(deployment: Deployment) -> dict[str, dict]:
    said = deployment.say("chains", "status", "--json")
    assert said.code == 1  # nothing listens at these endpoints
    return {row["network"]: row for row in json.loads(said.out)}


def test_an_order_waits_for_a_network_that_is_switched_off_and_is_told(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
):
    switch_off(deployment, "tron")
    shown = deployment.json("order", "show", "order-1")
    assert (shown["state"], shown["asset"]) == ("created", "usdt-tron")
    row = status(deployment)["tron"]
    assert (row["head"], row["endpoints"]) == (None, [])
    assert row["error"] == "switched off, for want of endpoints; waiting: usdt-tron: 1 open orders"

    async def look(platform: Platform) -> None:
        registry = platform.registry
        assert registry.switched_off == {"tron"}
        assert registry.asset_by_wm(1, 1) is None  # no new order, no withdrawal
        assert registry.asset_by_wm(2, 1) is not None
        assert {asset.network for asset in registry.by_symbol("USDT")} == {"ton"}  # what a payer may pick
        assert set(chains_of(platform.settings, registry, platform.database, platform.ring)) == {"ton"}
        await check_unfinished(platform.database, registry)

    deployment.act(look)
    assert "tron is switched off, and waits for its endpoints: usdt-tron: 1 open orders" in caplog.text


def test_its_page_is_shown_as_before(deployment: Deployment):
    payin = deployment.order("order-2")
    switch_off(deployment, "tron")

    async def look(platform: Platform) -> None:
        async with platform.database.reader() as tx:
            seen = await find_view(tx, platform.registry, payin.payin_id)
        assert seen.network is not None
        assert (seen.network.id, seen.address) == ("tron", payin.address)

    deployment.act(look)


def test_it_goes_on_when_its_endpoints_come_back(deployment: Deployment):
    switch_off(deployment, "tron", "ton")
    assert set(status(deployment)) == {"tron"}  # nothing waits for TON
    switch_on(deployment)
    assert "switched off" not in status(deployment)["tron"]["error"]

    async def look(platform: Platform) -> None:
        assert platform.registry.switched_off == set()
        assert platform.registry.asset_by_wm(1, 1) is not None

    deployment.act(look)


def test_a_network_that_was_read_keeps_its_row_though_nothing_is_open(deployment: Deployment):
    execute(
        deployment,
        "insert into cursors (network, height, hash, block_at, final_height, updated_at)"
        " select 'mars', 1, 'aa', now(), 1, now()",
    )
    for words in (("order", "show", "order-1"), ("balance", "Corner Shop"), ("chains", "status")):
        said = deployment.refusal(*words)
        assert "no row any more of networks that were read: mars; put it back" in said


def test_a_token_without_its_row_stops_the_start_while_an_order_waits_for_it(deployment: Deployment):
    toml, tokens = deployment.folder / "bitlinkpay.toml", deployment.folder / "tokens.toml"
    tokens.write_text(TOKEN)
    text = toml.read_text()
    toml.write_text('registry_files = ["tokens.toml"]\n' + text)
    deployment.order("order-x", asset_id="usdx-tron")
    toml.write_text(text)

    async def start(platform: Platform) -> None:
        await check_unfinished(platform.database, platform.registry)

    with pytest.raises(MissingRows, match=r"of assets: usdx-tron: 1 open orders; put it back; with `payable = false`"):
        deployment.act(start)
    assert "no asset 'usdx-tron'" in deployment.refusal("order", "show", "order-x")
    assert deployment.json("order", "show", "order-1")["state"] == "created"
    execute(deployment, "update payins set state = 'cancelled' where source_id = 'order-x'")
    deployment.act(start)


def test_a_token_without_its_row_stops_the_start_while_money_of_it_is_in_the_books(deployment: Deployment):
    execute(
        deployment,
        "insert into ledger_accounts (name, asset, kind, side, balance_units, opened_at, changed_at)"
        " select 'equity', 'usdx-tron', 'equity', 'credit', 5, now(), now()",
    )

    async def start(platform: Platform) -> None:
        await check_unfinished(platform.database, platform.registry)

    with pytest.raises(MissingRows, match="usdx-tron: money in the books"):
        deployment.act(start)
