"""Settlement on other networks, in other assets and beside other parts: tags, coins, fan-out, holds of the operator."""

from datetime import time, timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.settling import USDT, Office, units
from tests.support.clock import ManualClock

from bitlinkpay.authorizations.model import AnswerSpent, NotAuthorized
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.money import parse_decimal
from bitlinkpay.settlements.addresses.model import BOUND
from bitlinkpay.settlements.addresses.service import Homes, NewHome
from bitlinkpay.settlements.model import Ask, SettlementId
from bitlinkpay.settlements.rules.model import Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.signer.keyring import KeyRing

DAILY = Terms(schedule=Schedule(Cadence.DAILY, time(8, 0), "UTC"))
GAS = {"ton": "ton-ton", "ethereum": "eth-ethereum", "solana": "sol-solana", "bitcoin": "btc-bitcoin", "bsc": "bnb-bsc"}


@pytest.fixture
async def office(start: Start, ring: KeyRing) -> Office:
    return await Office.open(Cashier(await start(), ring, ManualClock()))


@pytest.mark.parametrize(
    ("asset_id", "tag"),
    [("usdt-ton", "44218"), ("usdt-ethereum", ""), ("usdt-solana", ""), ("btc-bitcoin", ""), ("eth-ethereum", "")],
)
async def test_a_schedule_sends_every_kind_of_money_home(office: Office, asset_id: str, tag: str) -> None:
    world, network_id = office.world, REGISTRY.assets[asset_id].network
    home = STRANGERS[REGISTRY.networks[network_id].family]
    earned = "1" if asset_id == "btc-bitcoin" else "100"  # more of it would wait for more blocks
    await office.earn(earned, asset_id)
    await office.cashier.fund(asset_id, "2" if asset_id == "btc-bitcoin" else "200")
    if GAS[network_id] != asset_id:
        await office.cashier.fund(GAS[network_id], "50")
    await office.bind(home, tag=tag, network=network_id)
    rule = await office.rule(DAILY, asset_id)
    await office.cashier.pass_time(timedelta(days=2))
    assert await office.step() == (1, 1)
    await office.cashier.finish(network_id)
    (run,) = await office.listed(rule)
    assert run.outcome is not None
    assert (run.outcome.state, run.outcome.tag) == ("completed", tag)
    assert await office.available(asset_id) == 0
    assert await office.cashier.received(run.outcome.target, asset_id) == run.outcome.units
    (callback,) = [body for body in world.inbox.bodies if body["source_id"] == run.settlement.settlement_id.hex]
    assert (callback["tag"], callback["address"], callback["status"]) == (tag, home, 4)
    charged = run.outcome.fee_units + run.outcome.network_fee_units
    assert parse_decimal(str(callback["gas_fee"])).scaleb(REGISTRY.assets[asset_id].decimals) == charged
    await world.settle()


async def test_a_rule_settles_its_own_asset_and_no_other(office: Office) -> None:
    await office.fund()
    await office.cashier.fund("usdt-ethereum", "1000")
    await office.cashier.fund("eth-ethereum", "5")
    await office.earn("150")
    await office.earn("150", "usdt-ethereum")
    await office.bind_and_rest()
    await office.rule(Terms(threshold_units=units("100")))
    before = await office.available("usdt-ethereum")
    assert await office.step() == (1, 1)
    assert await office.step() == (0, 0)
    assert await office.available("usdt-ethereum") == before
    assert await office.available() == 0


async def test_one_merchant_s_rule_leaves_another_s_money_alone(office: Office) -> None:
    await office.fund()
    other = await office.world.another()
    await office.bind_and_rest()
    await office.rule(Terms(threshold_units=units("100")))
    order = await office.world.open_order(USDT, "500", merchant=other)
    await office.world.pay_and_finalize(order)
    assert await office.step() == (0, 0)
    await office.earn("150")
    before = (await office.world.balance(USDT, other)).available_units
    assert await office.step() == (1, 1)
    await office.finish()
    assert (await office.world.balance(USDT, other)).available_units == before


async def test_notices_are_read_in_the_feed_and_owe_no_callback(office: Office) -> None:
    """Whoever waits at a merchant's URL knows orders and withdrawals; a notice would be neither."""
    await office.earn("150")
    await office.bind()
    await office.rule(Terms(threshold_units=units("100")))
    await office.step()
    sent = len(office.world.inbox.bodies)
    await office.world.send_callbacks()
    assert len(office.world.inbox.bodies) == sent
    told = await office.world.rows("select kind from outbox where kind like 'settlement.%' order by seq")
    assert [kind for (kind,) in told] == [
        "settlement.address_changed", "settlement.rule_changed", "settlement.skipped",
    ]  # fmt: skip
    ((waiting,),) = await office.world.rows(
        "select count(*) from outbox_pending join outbox using (seq) where subscriber = 'deliveries'"
    )
    assert waiting == 0


async def test_the_operator_decides_how_long_an_address_rests(office: Office) -> None:
    hasty = Homes(office.world.database, REGISTRY, office.person.checks, office.world.clock, hold=timedelta(0))
    new = NewHome(office.world.merchant, REGISTRY.networks["tron"], BOUND, STRANGERS["tron"], "")
    bound = await hasty.bind(new, office.shown())
    assert bound.is_usable(office.world.clock.now())


async def test_a_code_that_bound_an_address_moves_no_money(office: Office) -> None:
    await office.earn("100")
    await office.fund()
    shown = office.shown()
    new = NewHome(office.world.merchant, REGISTRY.networks["tron"], BOUND, STRANGERS["tron"], "")
    await office.homes.bind(new, shown)
    with pytest.raises(AnswerSpent):
        await office.settlements.request(office.ask("20"), shown)
    assert await office.payouts_count() == 0


async def test_an_authorization_that_ran_out_on_the_way_reserves_nothing(office: Office) -> None:
    """The code was right; between the checks and the reserve more time passed than an authorization lives."""
    await office.earn("100")
    await office.fund()
    checks, ask = office.person.checks, office.ask("20")
    authorize = checks.authorize

    async def authorize_and_sleep(*words):
        given = await authorize(*words)
        office.person.wall.advance(timedelta(minutes=5))
        return given

    checks.authorize = authorize_and_sleep  # type: ignore[method-assign]
    before = await office.world.balance()
    with pytest.raises(NotAuthorized):
        await office.settlements.request(ask, office.shown())
    assert await office.world.balance() == before
    del checks.authorize
    assert (await office.settlements.request(ask, office.shown())).settlement_id == ask.settlement_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("settlement_id", SettlementId(new_uuid7())),
        ("asset", REGISTRY.assets["trx-tron"]),
        ("target", "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"),
        ("amount", parse_decimal("20.000001")),
        ("amount", None),
    ],
)
async def test_WEB_17_whatever_changes_in_a_request_changes_what_was_authorized(
    office: Office, field: str, value: object
) -> None:
    ask = office.ask("20")
    changed = {name: getattr(ask, name) for name in ("settlement_id", "merchant", "asset", "target", "tag", "amount")}
    changed[field] = value
    one, other = office.settlements.action_of(ask), office.settlements.action_of(Ask(**changed))
    assert one.digest != other.digest
    given = await office.person.checks.authorize(office.world.merchant, one, office.shown())
    with pytest.raises(NotAuthorized):
        await office.world.database.unit(lambda tx: office.person.checks.use(tx, given.authorization_id, other))


async def test_the_spelling_of_an_amount_or_an_address_changes_nothing(office: Office) -> None:
    eth = STRANGERS["evm"]
    fields = {"settlement_id": SettlementId(new_uuid7()), "merchant": office.world.merchant, "tag": ""}
    asset = REGISTRY.assets["usdt-ethereum"]
    spelt = [
        Ask(**fields, asset=asset, target=eth, amount=parse_decimal("20")),
        Ask(**fields, asset=asset, target=eth.lower(), amount=parse_decimal("20.00")),
    ]
    assert len({office.settlements.action_of(ask).digest for ask in spelt}) == 1
