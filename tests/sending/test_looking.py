"""The last look before a signature: whom each provider lists, who is silent, and what weighs more than what."""

from dataclasses import dataclass, replace

import pytest
from tests.flows.harness import REGISTRY, Lists, make_merchant
from tests.sending.test_queue import HOT, sending
from tests.sending.test_stores import NETWORK, NOW, queue, transaction
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Intent, Payment, Purpose, Signed
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.risk.model import Provider
from bitlinkpay.sandbox.mempool.store import Mempool
from bitlinkpay.sandbox.store import SandboxState
from bitlinkpay.sending.last_look import LISTED, LastLook, Objections
from bitlinkpay.sending.model import Sending
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

SILENT = "screening by {} gave no answer"


@dataclass
class Unasked:
    """A signer that nobody may ask: the look comes before it."""

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        raise AssertionError(f"{intent.intent_id} was signed with {plan}")


def parts_of(database: Database, *providers: Provider) -> LaneParts[SimulatedPlan]:
    """Return what a lane of a simulated network is made of, without owners and with a signer that must not be asked."""
    network, clock = REGISTRY.networks[NETWORK], ManualClock()
    chain = SimulatedChain(network, REGISTRY.assets_of(NETWORK), SandboxState(database))
    return LaneParts(
        database=database,
        registry=REGISTRY,
        network=network,
        sender=SimulatedSender(chain, Mempool(database, REGISTRY)),
        plan_type=SimulatedPlan,
        signing=Unasked(),
        owners={},
        clock=clock,
        wall=clock,
        providers=providers,
    )


def look(database: Database, *providers: Provider) -> LastLook[SimulatedPlan]:
    return LastLook(parts_of(database, *providers))


def to(*targets: str, purpose: Purpose = Purpose.PAYOUT) -> list[Sending]:
    asked = [sending(n + 1, purpose=purpose) for n in range(len(targets))]
    return [
        replace(one, payment=Payment(HOT, "usdt-ethereum", target, "", n + 1))
        for n, (one, target) in enumerate(zip(asked, targets, strict=True))
    ]


async def test_nothing_speaks_against_what_nobody_stops_or_lists(database: Database) -> None:
    found = await look(database, Lists(), Lists("more")).at(transaction(*to("a", "b")))
    assert found == Objections({}, {}, {})
    assert found.reason == ""


async def test_PAY_34_every_place_with_a_listed_recipient_is_named_whoever_lists_it(database: Database) -> None:
    first, second = Lists("first", listed={"a"}), Lists("second", listed={"c", "elsewhere"})
    found = await look(database, first, second).at(transaction(*to("a", "b", "c", "a")))
    assert found.listed == {0: LISTED, 2: LISTED, 3: LISTED}
    assert (found.stopped, found.unknown) == ({}, {})
    assert (first.asked, second.asked) == (1, 1), "one question a provider, however many payments"


async def test_PAY_34_an_address_that_a_provider_is_unsure_of_is_not_listed(database: Database) -> None:
    found = await look(database, Lists(unclear={"a"})).at(transaction(*to("a")))
    assert found.reason == ""


@pytest.mark.parametrize("silent_first", [True, False])
async def test_PAY_34_a_silent_provider_hides_nothing_that_another_one_lists(
    database: Database, silent_first: bool
) -> None:
    silent, speaking = Lists("quiet", is_down=True), Lists("loud", listed={"b"})
    providers = [silent, speaking] if silent_first else [speaking, silent]
    found = await look(database, *providers).at(transaction(*to("a", "b")))
    assert found.listed == {1: LISTED}
    assert found.unknown == dict.fromkeys((0, 1), SILENT.format("quiet")), "all of them are asked about again"
    assert found.reason == LISTED


async def test_where_all_are_silent_nobody_can_say(database: Database) -> None:
    found = await look(database, Lists("one", is_down=True), Lists("two", is_down=True)).at(transaction(*to("a")))
    assert found.listed == {}
    assert found.unknown in ({0: SILENT.format("one")}, {0: SILENT.format("two")})


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.PAYOUT])
async def test_what_pays_no_third_party_is_not_screened(database: Database, purpose: Purpose) -> None:
    lists = Lists(listed={"a"}, is_down=True)
    assert (await look(database, lists).at(transaction(*to("a", purpose=purpose)))).reason == ""
    assert lists.asked == 0


async def test_OPS_17_a_stop_names_the_payments_that_it_is_about_and_no_others(database: Database) -> None:
    mine, other = to("a", "b")
    other = replace(other, merchant_id=sending(1, 1).merchant_id)
    await queue(database, mine, other)
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.MERCHANT, str(other.merchant_id), "trouble", NOW))
    found = await look(database, Lists(listed={"a"})).at(transaction(mine, other))
    assert found == Objections({1: "payments are stopped: trouble"}, {}, {0: LISTED})
    assert found.reason == LISTED, "what a person has to see is told before what passes"


async def test_PAY_34_the_state_of_its_merchant_is_that_of_this_moment(database: Database) -> None:
    merchant = make_merchant(ManualClock())
    async with database.transaction() as tx:
        await merchants_store.insert(tx, merchant)
    asked = replace(to("a")[0], merchant_id=merchant.merchant_id)
    await queue(database, asked)
    at = look(database, Lists()).at
    assert (await at(transaction(asked))).stopped == {}
    async with database.transaction() as tx:
        await merchants.suspend(tx, merchant.merchant_id, now=NOW)
    assert (await at(transaction(asked))).stopped == {0: "the merchant is suspended"}
    async with database.transaction() as tx:
        await merchants.resume(tx, merchant.merchant_id, now=NOW)
    assert (await at(transaction(asked))).stopped == {}


@pytest.mark.parametrize(
    ("objections", "reason"),
    [
        (Objections({0: "stopped"}, {0: "unknown"}, {0: "listed"}), "listed"),
        (Objections({0: "stopped"}, {0: "unknown"}, {}), "stopped"),
        (Objections({}, {0: "unknown"}, {}), "unknown"),
        (Objections({}, {}, {}), ""),
    ],
)
def test_of_several_reasons_the_gravest_is_told(objections: Objections, reason: str) -> None:
    assert objections.reason == reason
