"""Drafts: what is checked and asked before anything is reserved, in which order, and what each refusal says."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.flows.harness import REGISTRY, Lists, make_merchant
from tests.flows.paying import STRANGERS
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import (
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    Intent,
    KeyRole,
    LacksFunds,
    LacksGas,
    Payment,
    Purpose,
    Wallet,
)
from bitlinkpay.core.errors import Invalid, Kind, Problem, Unavailable
from bitlinkpay.payouts.drafting import Draft, Drafting, Repeat
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, NewPayout, NoLiquidity, PayoutKind
from bitlinkpay.risk.model import Finding

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOT = Wallet(KeyRole.HOT, 3, "hot")
NEW = NewPayout(
    merchant=make_merchant(ManualClock(NOW)),
    kind=PayoutKind.PAYOUT,
    source_id="w-1",
    asset=REGISTRY.assets["usdt-tron"],
    target=STRANGERS["tron"],
    tag="",
    amount=Decimal("12.5"),
)
NO_RATE = Unavailable("no price of TRX in USDT now; try again in a moment")

DRY = (
    "the platform's liquidity on TRON does not cover this now, and nothing was reserved; try again later, or"
    " withdraw another asset after an exchange"
)


@dataclass
class Desk:
    """The networks, the market and screening of a draft, each of which may fail."""

    obstacle: Exception | None = None
    has_price: bool = True
    providers: Sequence[Lists] = field(default_factory=lambda: [Lists()])
    asked: list[Intent] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))

    async def quotes(self, intent: Intent) -> FeeQuote:
        self.asked.append(intent)
        if self.obstacle:
            raise self.obstacle
        return FeeQuote(units=3_000_001, units_max=9_000_000)

    async def prices(self, base: str, quote: str) -> Decimal:
        self.pairs.append((base, quote))
        if not self.has_price:
            raise NO_RATE
        return Decimal("0.25")

    async def prepare(self, new: NewPayout = NEW) -> Draft | Repeat:
        drafting = Drafting(
            registry=REGISTRY,
            quotes=self.quotes,
            prices=self.prices,
            providers=self.providers,
            hot_wallet=lambda network: replace(HOT, address=f"hot of {network.id}"),
            clock=self.clock,
        )
        return await drafting.prepare(new)

    async def draft(self, new: NewPayout = NEW) -> Draft:
        found = await self.prepare(new)
        assert isinstance(found, Draft), found
        return found

    async def problem(self, new: NewPayout = NEW) -> Problem:
        found = await self.prepare(new)
        assert isinstance(found, Repeat), found
        assert found.new is new
        return found.problem


async def test_a_draft_asks_the_network_for_exactly_the_payment_that_will_be_made() -> None:
    desk = Desk()
    draft = await desk.draft()
    (intent,) = desk.asked
    hot = Wallet(KeyRole.HOT, 3, "hot of tron")
    assert (intent.network, intent.purpose, intent.payer) == ("tron", Purpose.PAYOUT, hot)
    assert intent.payments == (Payment(hot, "usdt-tron", STRANGERS["tron"], "", 12_500_000),)
    assert intent.fee_max_units == 0  # a quote is no permission to spend
    assert intent.expires_at == NOW
    assert (draft.new, draft.target, draft.hold, draft.quoted_at) == (NEW, STRANGERS["tron"], "", NOW)
    assert draft.quote == FeeQuote(3_000_001, 9_000_000)
    assert desk.pairs == [("TRX", "USDT")]
    assert draft.network_fee_units == 750_001  # 3.000001 TRX at 0.25 are 0.75000025 USDT


async def test_a_coin_that_pays_its_own_fee_needs_no_price() -> None:
    desk = Desk(has_price=False)
    draft = await desk.draft(replace(NEW, asset=REGISTRY.assets["trx-tron"]))
    assert (draft.network_fee_units, desk.pairs) == (3_000_001, [])


async def test_the_target_is_kept_in_its_canonical_spelling_and_the_request_as_it_was_written() -> None:
    written = STRANGERS["evm"].lower()
    draft = await Desk().draft(replace(NEW, asset=REGISTRY.assets["usdt-ethereum"], target=written))
    assert (draft.target, draft.new.target) == (STRANGERS["evm"], written)
    assert draft.target != written


@pytest.mark.parametrize(
    ("obstacle", "problem", "code", "says"),
    [
        (
            LacksFunds("the wallet holds 3 of 12.5"),
            NoLiquidity,
            "payout.no_liquidity",
            DRY,
        ),
        (
            LacksGas("the wallet holds no TRX", 5),
            NoLiquidity,
            "payout.no_liquidity",
            DRY,
        ),
        (
            FeeTooHigh("more than it may cost"),
            AddressRefused,
            "payout.address_refused",
            "the address can't be paid: the network would not carry it out (more than it may cost)",
        ),
        (
            CannotPlan("the contract refuses it"),
            AddressRefused,
            "payout.address_refused",
            "the address can't be paid: the network would not carry it out (the contract refuses it)",
        ),
        (
            ChainError("https://node.example/secret-key gave 500"),
            Unavailable,
            "service.unavailable",
            "TRON can't be asked for its fee now; try again in a moment",
        ),
    ],
)
async def test_what_the_network_says_against_it_is_told_in_the_merchants_words(
    obstacle: Exception, problem: type[Problem], code: str, says: str
) -> None:
    found = await Desk(obstacle=obstacle).problem()
    assert (type(found), found.code, found.message) == (problem, code, says)
    assert found.kind is (Kind.INVALID if problem is AddressRefused else Kind.UNAVAILABLE)


async def test_without_a_price_there_is_no_draft() -> None:
    assert await Desk(has_price=False).problem() is NO_RATE


@pytest.mark.parametrize(
    ("changed", "problem", "says", "param"),
    [
        ({"target": "nobody"}, AddressRefused, "the address can't be paid: ", "address"),
        ({"target": STRANGERS["evm"]}, AddressRefused, "the address can't be paid: ", "address"),
        ({"tag": "7"}, Invalid, "this network knows no tags; leave tag empty", "tag"),
        ({"amount": Decimal("0.0000001")}, AmountRefused, "at most 6 digits after the point of USDT", "amount"),
        ({"amount": Decimal(0)}, AmountRefused, "the smallest withdrawal is ", "amount"),
        ({"amount": Decimal(-5)}, AmountRefused, "the amount is out of range of USDT", "amount"),
        ({"amount": Decimal("1E+80")}, AmountRefused, "the amount is out of range of USDT", "amount"),
    ],
)
async def test_what_is_wrong_with_the_request_itself_is_found_before_anybody_is_asked(
    changed: dict[str, object], problem: type[Problem], says: str, param: str
) -> None:
    desk = Desk()
    found = await desk.problem(replace(NEW, **changed))  # type: ignore[arg-type]
    assert type(found) is problem
    assert found.message.startswith(says)
    assert found.param == param
    assert desk.asked == desk.pairs == []
    assert [provider.asked for provider in desk.providers] == [0]


async def test_a_tag_travels_on_ton() -> None:
    desk = Desk()
    await desk.draft(replace(NEW, asset=REGISTRY.assets["usdt-ton"], target=STRANGERS["ton"], tag="invoice 7"))
    assert desk.asked[0].payments[0].tag == "invoice 7"


# --- screening


async def test_every_provider_is_asked_for_the_canonical_address_on_its_network() -> None:
    first, second = Lists(), Lists(name="others")
    seen: list[tuple[str, list[str]]] = []

    class Listening(Lists):
        async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
            seen.append((network, list(addresses)))
            return await super().look_up(network, addresses)

    new = replace(NEW, asset=REGISTRY.assets["usdt-ethereum"], target=STRANGERS["evm"].lower())
    draft = await Desk(providers=[first, Listening(), second]).draft(new)
    assert (draft.hold, first.asked, second.asked) == ("", 1, 1)
    assert seen == [("ethereum", [STRANGERS["evm"]])]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_listing_by_any_provider_refuses_before_the_network_is_asked(place: int) -> None:
    providers = [Lists(name=name) for name in ("a", "b", "c")]
    providers[place].listed.add(STRANGERS["tron"])
    desk = Desk(providers=providers)
    found = await desk.problem()
    assert (type(found), found.message) == (AddressRefused, "the address can't be paid: it is on a sanctions list")
    assert desk.asked == []


@pytest.mark.parametrize("place", [0, 1])
async def test_a_silent_provider_leaves_it_to_a_person_and_is_named(place: int) -> None:
    providers = [Lists(name="a"), Lists(name="b")]
    providers[place].is_down = True
    draft = await Desk(providers=providers).draft()
    assert draft.hold == f"screening by {'ab'[place]} gave no answer"


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
async def test_a_listing_refuses_whatever_silence_there_is_beside_it(places: tuple[int, int]) -> None:
    """No person is asked to let a payout go that a list which did answer forbids."""
    providers = [Lists(name="a"), Lists(name="b")]
    silent, listing = places
    providers[silent].is_down = True
    providers[listing].listed.add(STRANGERS["tron"])
    found = await Desk(providers=providers).problem()
    assert (type(found), found.message) == (AddressRefused, "the address can't be paid: it is on a sanctions list")


async def test_without_providers_nobody_holds_it() -> None:
    assert (await Desk(providers=[]).draft()).hold == ""


# --- what makes two requests the same


RATED = replace(NEW, fiat_amount=Decimal(90), symbol="CNY", exchange_rate=Decimal("7.2"))


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": PayoutKind.SETTLEMENT},
        {"source_id": "w-2"},
        {"asset": REGISTRY.assets["trx-tron"]},
        {"target": "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"},
        {"tag": "7"},
        {"amount": Decimal("12.51")},
        {"fiat_amount": Decimal(91)},
        {"fiat_amount": None},
        {"symbol": "USD"},
        {"exchange_rate": Decimal("7.21")},
        {"exchange_rate": None},
        {"callback_url": "https://shop.example/other"},
    ],
)
async def test_PAY_04_a_request_that_differs_in_any_field_is_another(changed: dict[str, object]) -> None:
    usual, other = await Desk().prepare(RATED), await Desk().prepare(replace(RATED, **changed))  # type: ignore[arg-type]
    assert usual.request_hash != other.request_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": Decimal("12.50")},
        {"amount": Decimal("1.25E+1")},
        {"fiat_amount": Decimal("9E+1")},
        {"exchange_rate": Decimal("7.200")},
        {"maker": "operator"},
        {"merchant": replace(NEW.merchant, name="Renamed")},
    ],
)
async def test_PAY_04_a_request_that_only_is_written_otherwise_is_the_same(changed: dict[str, object]) -> None:
    usual, other = await Desk().prepare(RATED), await Desk().prepare(replace(RATED, **changed))  # type: ignore[arg-type]
    assert usual.request_hash == other.request_hash


async def test_PAY_04_fields_that_run_into_each_other_are_other_requests() -> None:
    left = await Desk().prepare(replace(NEW, source_id="w-1", symbol="", callback_url="CNY"))
    right = await Desk().prepare(replace(NEW, source_id="w-1", symbol="CNY", callback_url=""))
    assert left.request_hash != right.request_hash


async def test_PAY_04_a_request_that_can_no_longer_be_prepared_still_has_the_hash_of_its_payout() -> None:
    made = await Desk().draft()
    failed = await Desk(obstacle=ChainError("down")).prepare()
    assert isinstance(failed, Repeat)
    assert failed.request_hash == made.request_hash
    assert len(made.request_hash) == 32
