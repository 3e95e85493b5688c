"""Every recorded request opens, verifies and parses to what its sender meant."""

from decimal import Decimal

import pytest
from tests.wm.vectors import Recorded, encrypted, envelope_key, recorded

from bitlinkpay.wm.bodies import (
    CreateOrder,
    CreatePreOrder,
    Lookup,
    Withdraw,
    parse_create_order,
    parse_create_pre_order,
    parse_lookup,
    parse_withdraw,
)
from bitlinkpay.wm.envelope import Opened, open_envelope
from bitlinkpay.wm.ids import Route

PARSERS = {
    Route.CREATE: parse_create_order,
    Route.PRE_CREATE: parse_create_pre_order,
    Route.DETAIL: parse_lookup,
    Route.CANCEL: parse_lookup,
    Route.WITHDRAW: parse_withdraw,
    Route.WITHDRAW_DETAIL: parse_lookup,
}

CALLBACK = "https://merchant.example/callback"
TON_ADDRESS = "UQAB0bw8P7UPqmDzx5cA8nz_4YWWMGNin6gD7prFpd3QACX3"


def test_there_are_twenty_recorded_requests_of_every_route_and_mode() -> None:
    rows = recorded()
    assert len(rows) == 20
    assert {row.path for row in rows} == set(Route)
    assert {(row.client, row.is_encrypted) for row in rows} == {("php", True), ("go", True), ("go", False)}


@pytest.mark.parametrize("row", encrypted(), ids=lambda row: row.name)
def test_every_encrypted_request_opens_to_its_plaintext(row: Recorded) -> None:
    opened = open_envelope(envelope_key(), row.headers, row.body)
    assert isinstance(opened, Opened)
    assert opened.plaintext == row.plaintext
    assert opened.seal.broker == "conformance-merchant"
    assert str(opened.seal.ts_ms).encode() == row.headers.ts
    assert opened.seal.nonce.encode() == row.headers.nonce
    assert opened.seal.sign.encode() == row.headers.sign


@pytest.mark.parametrize("row", recorded(), ids=lambda row: row.name)
def test_every_plaintext_parses(row: Recorded) -> None:
    request = PARSERS[Route(row.path)](row.plaintext)
    assert request.source_id.startswith(row.client)


def expected(client: str) -> dict[str, object]:
    lang = ("zh", "en") if client.startswith("go") else ("", "")
    return {
        f"{client}-20261123-0001": CreateOrder(
            source_id=f"{client}-20261123-0001",
            chain_id=1,
            coin_id=1,
            fiat_amount=Decimal("7.18"),
            symbol="USDT/CNY",
            exchange_rate=None,
            amount=None,
            callback_url=CALLBACK,
            lang=lang[0],
        ),
        f"{client}-20261123-0002": CreateOrder(
            source_id=f"{client}-20261123-0002",
            chain_id=2,
            coin_id=1,
            fiat_amount=Decimal("100.5"),
            symbol="USDT/USD",
            exchange_rate=Decimal("1.005"),
            amount=Decimal(100),
            callback_url=CALLBACK,
            lang=lang[1],
        ),
    }


@pytest.mark.parametrize("client", ["php", "go", "go-test"])
def test_absent_means_the_same_in_every_sdk(client: str) -> None:
    rows = [parse_create_order(row.plaintext) for row in recorded() if row.path == Route.CREATE]
    wanted = expected(client)
    assert [row for row in rows if row.source_id in wanted] == list(wanted.values())


def test_the_recorded_pre_order_carries_its_links() -> None:
    rows = [parse_create_pre_order(row.plaintext) for row in recorded() if row.path == Route.PRE_CREATE]
    assert rows[0] == CreatePreOrder(
        source_id="go-20261123-0004",
        coin="USDT",
        fiat_amount=Decimal(25),
        lang="zh",
        home_url="https://merchant.example/",
        success_url="https://merchant.example/ok",
        failure_url="https://merchant.example/no",
        callback_url=CALLBACK,
    )


def test_the_recorded_withdrawals_agree_but_for_what_go_leaves_empty() -> None:
    php, go, _plain = (parse_withdraw(row.plaintext) for row in recorded() if row.path == Route.WITHDRAW)
    assert php == Withdraw(
        source_id="php-20261123-0003",
        chain_id=2,
        coin_id=1,
        address=TON_ADDRESS,
        amount=Decimal(4),
        tag="42",
        fiat_amount=Decimal("28.8"),
        symbol="USDT/CNY",
        exchange_rate=Decimal("7.2"),
        callback_url=CALLBACK,
    )
    assert (go.fiat_amount, go.symbol, go.exchange_rate) == (None, "", None)


def test_the_recorded_lookups_carry_the_id_only() -> None:
    rows = [parse_lookup(row.plaintext) for row in recorded() if row.path == Route.DETAIL]
    assert rows == [Lookup("php-20261123-0001"), Lookup("go-20261123-0001"), Lookup("go-test-20261123-0001")]
