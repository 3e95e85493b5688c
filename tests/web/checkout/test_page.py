from dataclasses import replace
from datetime import timedelta

import pytest
from tests.web.checkout.shop import ADDRESSES, OPENED, SCENES, SHORT, TXID, merchant, odd, order, paid, pre_order

from bitlinkpay.chains.address import show_address
from bitlinkpay.core.assets import Family
from bitlinkpay.payins.model import ReturnLinks
from bitlinkpay.payins.view import PayinView
from bitlinkpay.web.checkout.figures import plain
from bitlinkpay.web.checkout.language import Language
from bitlinkpay.web.checkout.page import Page, Setting, build_page, safe_link
from bitlinkpay.web.checkout.qr import qr_svg

NOW = OPENED + timedelta(minutes=2)


def page_of(view: PayinView, *, language: Language = Language.ENGLISH, qr: str = "", is_sandbox: bool = False) -> Page:
    setting = Setting(is_sandbox=is_sandbox, support_contact="help@pay.example")
    return build_page(view, setting, language=language, now=NOW, qr=qr)


TRON = ADDRESSES[Family.TRON]
EVM = ADDRESSES[Family.EVM]
BITCOIN = ADDRESSES[Family.BITCOIN]
SOLANA = ADDRESSES[Family.SOLANA]
CODES = {
    "usdt-tron": ["address", "request"],
    "usdt-ethereum": ["address", "request"],
    "bnb-bsc": ["address", "request"],
    "btc-bitcoin": ["request", "address"],
    "usdt-solana": ["request", "address"],
    "usdt-ton": ["request"],
    "ton-ton": ["request"],
}


@pytest.mark.parametrize(("asset_id", "keys"), CODES.items())
def test_the_code_that_wallets_of_the_network_read_comes_first(asset_id: str, keys: list[str]) -> None:
    payment = page_of(order(asset_id)).payment
    assert payment
    assert [choice.key for choice in payment.codes.choices] == keys
    assert [choice.is_chosen for choice in payment.codes.choices] == [True, False][: len(keys)]


@pytest.mark.parametrize(
    ("asset_id", "units", "uri"),
    [
        (
            "usdt-ethereum",
            10_000_000,
            f"ethereum:0xdAC17F958D2ee523a2206206994597C13D831ec7@1/transfer?address={EVM}&uint256=10000000",
        ),
        ("bnb-bsc", 5 * 10**17, f"ethereum:{EVM}@56?value=500000000000000000"),
        ("btc-bitcoin", 123_450, f"bitcoin:{BITCOIN}?amount=0.0012345"),
        (
            "usdt-solana",
            10_000_000,
            f"solana:{SOLANA}?amount=10&spl-token=Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",
        ),
        ("trx-tron", 35_000_000, f"tron:{TRON}?amount=35"),
    ],
)
def test_the_wallet_link_asks_for_exactly_the_amount(asset_id: str, units: int, uri: str) -> None:
    payment = page_of(order(asset_id, units=units)).payment
    assert payment
    assert payment.codes.wallet_uri == uri


def test_the_code_holds_the_address_that_the_page_shows() -> None:
    payment = page_of(order()).payment
    assert payment
    assert payment.codes.choices[0].svg == qr_svg(payment.address.text) == qr_svg(TRON)


def test_on_ton_the_tag_travels_in_the_only_code() -> None:
    view = order("ton-ton", units=2_500_000_000)
    payment = page_of(view).payment
    assert payment
    uri = f"ton://transfer/{view.address}?amount=2500000000&text=10293847"
    assert payment.codes.wallet_uri == uri
    assert [choice.svg for choice in payment.codes.choices] == [qr_svg(uri)]


def test_the_payers_choice_of_code_is_kept() -> None:
    payment = page_of(order(), qr="request").payment
    assert payment
    assert [choice.is_chosen for choice in payment.codes.choices] == [False, True]
    assert page_of(order(), qr="nonsense").payment == page_of(order()).payment


@pytest.mark.parametrize("tag", ["1&amount=1", "1\n2", "x?y", "a" * 65, "<b>"])
def test_WEB_29_a_tag_that_could_change_the_request_gets_no_code(tag: str) -> None:
    payment = page_of(replace(order("ton-ton"), tag=tag)).payment
    assert payment
    assert payment.codes.choices == ()
    assert payment.codes.wallet_uri == ""
    assert payment.tag == plain(tag)


def test_WEB_29_an_address_that_is_none_of_the_network_gets_no_code() -> None:
    payment = page_of(replace(order(), address=f"{TRON}?amount=1")).payment
    assert payment
    assert payment.codes.choices == ()


def test_summing_asks_for_the_rest_in_the_code_too() -> None:
    view = odd(order(merchant=replace(merchant(), policy=replace(merchant().policy, is_summing=True))), SHORT)
    payment = page_of(view).payment
    assert payment
    assert payment.amount.text == "2.00"
    assert "amount=2&" in payment.codes.wallet_uri


@pytest.mark.parametrize("name", SCENES)
def test_addresses_to_pay_to_are_shown_only_while_money_is_asked_for(name: str) -> None:
    scene = SCENES[name]
    setting = Setting(is_sandbox=False, support_contact="")
    page = build_page(scene.make(), setting, language=Language.ENGLISH, now=OPENED + scene.at, qr="")
    assert (page.payment is not None) == (page.status.due_units > 0)
    if page.detail:
        assert page.detail.codes.choices == ()


def test_the_version_changes_with_the_order_and_not_with_the_clock() -> None:
    view = order()
    setting = Setting(is_sandbox=False, support_contact="")

    def at(seconds: int, shown: PayinView = view) -> str:
        now = NOW + timedelta(seconds=seconds)
        return build_page(shown, setting, language=Language.ENGLISH, now=now, qr="").version

    assert at(0) == at(1) == at(600)
    assert at(0) != at(0, odd(view, SHORT))
    assert at(0) != at(60 * 28)


def test_the_clock_of_the_page_is_business_time() -> None:
    page = page_of(order())
    assert (page.now_ms - page.created_ms, page.expires_ms - page.created_ms) == (120_000, 1_800_000)
    assert (page.left_clock, page.left_permille) == ("28:00", 933)


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (timedelta(days=7), "168\nh"),
        (timedelta(days=1), "24\nh"),
        (timedelta(seconds=86399), "23:59\nh"),
        (timedelta(seconds=6001), "1:40\nh"),
        (timedelta(seconds=6000), "1:40\nh"),
        (timedelta(seconds=5999), "99:59"),
    ],
)
def test_the_clock_of_a_long_order_counts_hours(left: timedelta, shown: str) -> None:
    assert page_of(order(expires_at=NOW + left)).left_clock == shown


def test_a_time_of_another_day_is_shown_with_it() -> None:
    assert page_of(order()).today == OPENED.date()
    later = build_page(order(), Setting(False, ""), language=Language.ENGLISH, now=OPENED + timedelta(days=2), qr="")
    assert later.today == OPENED.date() + timedelta(days=2)


def test_an_order_that_outlived_its_time_shows_zero() -> None:
    page = build_page(order(), Setting(False, ""), language=Language.ENGLISH, now=OPENED + timedelta(days=1), qr="")
    assert (page.left_clock, page.left_permille) == ("0:00", 0)


def test_the_rate_reads_as_on_an_exchange() -> None:
    assert page_of(order()).rate == "1 USDT = 7.2 CNY"
    assert page_of(order(symbol="CNY/USDT")).rate == "1 CNY = 7.2 USDT"
    assert page_of(pre_order()).rate == ""
    assert page_of(order(symbol="USDT/USDT")).rate == ""


def test_DEP_18_the_history_shows_contract_and_full_hash_and_no_sender_to_answer_to() -> None:
    page = page_of(paid(order()))
    assert page.contract == "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
    assert page.receipts[0].txid.text == TXID
    assert not [name for name in type(page.receipts[0]).__slots__ if "source" in name or "sender" in name]


def test_contracts_are_spelled_as_people_know_them() -> None:
    assert page_of(order("usdt-ton")).contract.startswith("EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs")
    assert page_of(order("btc-bitcoin")).contract == ""


def test_ton_addresses_are_shown_as_the_protocol_spells_them() -> None:
    view = order("ton-ton")
    assert view.network
    payment = page_of(view).payment
    assert payment
    assert payment.address.text == show_address(view.network, ADDRESSES[Family.TON])
    assert payment.address.text.startswith("UQ")


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "//evil.example/",
        "/relative",
        "https://",
        "https://user@evil.example/",
        "https://user:pw@evil.example/",
        "https://a.example/\n//b",
        "https://a.example/\u202e",
        "https://[::1/",
        "ftp://a.example/",
        "",
    ],
)
def test_API_36_links_of_another_kind_are_not_offered(link: str) -> None:
    assert safe_link(link, is_sandbox=True) == ""


def test_API_36_plain_http_is_for_a_sandbox_only() -> None:
    assert safe_link("http://127.0.0.1:9/x", is_sandbox=True) == "http://127.0.0.1:9/x"
    assert safe_link("http://shop.example/x", is_sandbox=False) == ""
    assert safe_link("https://shop.example/x?a=1#b", is_sandbox=False) == "https://shop.example/x?a=1#b"


def test_missing_links_fall_back_to_the_shops_home() -> None:
    links = page_of(order(links=ReturnLinks(home="https://tea.example/"))).links
    assert links.home == links.success == links.failure == "https://tea.example/"


@pytest.mark.parametrize(
    ("support", "link", "text"),
    [
        ("care@tea.example", "mailto:care@tea.example", "care@tea.example"),
        ("https://tea.example/help", "https://tea.example/help", "https://tea.example/help"),
        ("Call 555-1234", "", "Call 555-1234"),
        ("javascript:alert(1)", "", "javascript:alert(1)"),
        ("", "mailto:help@pay.example", "help@pay.example"),
    ],
)
def test_help_is_the_merchants_own_or_the_platforms(support: str, link: str, text: str) -> None:
    links = page_of(order(merchant=replace(merchant(), support=support))).links
    assert (links.support, links.support_text) == (link, text)


def test_networks_to_pick_come_cheapest_then_fastest() -> None:
    options = pre_order().options
    cheap = [
        replace(o, asset=replace(o.asset, payer_fee_cents=c))
        for o, c in zip(options, (100, 40, 1, 2, 1, 1, 0), strict=True)
    ]
    shown = page_of(pre_order(options=tuple(cheap))).options
    costs = {o.asset.id: o.asset.payer_fee_cents or 10**9 for o in cheap}
    assert [costs[o.asset_id] for o in shown] == sorted(costs.values())
    ties = [o.asset_id for o in shown if costs[o.asset_id] == 1]
    finals = {o.asset.id: o.network.final_after for o in cheap}
    assert [finals[asset] for asset in ties] == sorted(finals[asset] for asset in ties)
    assert shown[0].hint == "fee about $0.01 · about 1 minute"
    assert shown[-1].hint.startswith("about ")
