"""Money that is final when it is first seen: recorded, judged and settled in the one transaction that moves the cursor."""

from collections.abc import Sequence

import pytest
from tests.flows.conftest import Start
from tests.flows.faults import AnsweringChain
from tests.flows.harness import World, fee_of
from tests.flows.test_crash import free_lease

from bitlinkpay.chains.base import Chain, NotEnoughAnswers
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.ledger import accounts
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.clearing import CLEARING_BATCH
from bitlinkpay.payins.model import Payin
from bitlinkpay.risk.model import Finding

EVERY_STATE = [
    ("seen", "seen", "seen"),
    ("finalized", "seen", "final"),
    ("passed", "final", "screened"),
    ("credited", "screened", "credited"),
]


async def step_once(world: World, chain: Chain | None = None) -> None:
    """Let one watcher of TRON read what there is; `world.settle` lets it finish."""
    await free_lease(world)
    world.watchers["tron"] = world.build_watcher(chain or world.chain("tron"))
    await world.watchers["tron"].step()


async def history(world: World, order: Payin) -> list[tuple[object, ...]]:
    return await world.rows(
        """
        select event, from_state, to_state from deposit_events join deposits using (deposit_id)
        where payin_id = $1 order by deposit_id, seq
        """,
        order.payin_id,
    )


async def postings(world: World) -> list[object]:
    return [event for (event,) in await world.rows("select event from ledger_postings order by recorded_at, key desc")]


async def test_it_goes_through_every_state_in_one_transaction(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    await step_once(world)
    assert await world.state(order) == "paid"
    assert await history(world, order) == EVERY_STATE
    assert await world.events(order) == ["opened", "seen", "completed"]
    written = [
        f"select xmin::text as written_by from {table}"
        for table in ("deposits", "deposit_events", "verdicts", "payins", "outbox", "deliveries")
    ]
    written.append("select xmin::text from cursors where network = 'tron'")
    writers = f"select distinct written_by from ({' union all '.join(written)}) rows"
    assert len(await world.rows(writers)) == 1
    await world.settle()
    assert world.inbox.statuses(order) == [8]


async def test_it_never_stands_as_pending_in_the_books(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    await step_once(world)
    assert await world.rows("select 1 from ledger_accounts where kind = 'merchant:pending'") == []
    assert await postings(world) == ["deposit_credited"]
    assert await world.account(accounts.deposit_custody(order.address), "usdt-tron") == order.units
    assert (await world.balance()).available_units == order.units - fee_of(order.units)
    await world.settle()


async def test_what_is_not_final_stands_as_pending_and_nobody_is_asked_about_it(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await step_once(world)
    assert (await world.states(order), world.lists.asked) == ([("seen", "")], 0)
    assert (await world.balance()).pending_units == order.units
    await world.finalize("tron")
    assert await history(world, order) == EVERY_STATE
    assert await postings(world) == ["deposit_seen", "deposit_credited"]


async def test_its_verdict_is_kept_with_it(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    await step_once(world)
    (deposit,) = await world.deposits(order)
    assert await world.rows("select deposit_id, result from verdicts") == [(deposit.deposit_id, "clear")]
    await world.settle()
    assert world.lists.asked == 1


async def test_AML_01_money_from_a_listed_source_is_recorded_as_pending_first(world: World):
    order = await world.open_order()
    thief = address_from(world.network("usdt-tron"), b"\x07" * 32)
    world.lists.listed.add(thief)
    await world.pay(order, source=thief)
    await world.mine("tron", 5)
    await step_once(world)
    await world.settle()
    assert await postings(world) == ["deposit_seen", "deposit_quarantined"]
    assert await world.rows("select result from verdicts") == [("listed",)]


async def test_an_asset_that_cannot_be_read_waits_as_final(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    chain = AnsweringChain(world.chain("tron"))
    chain.balance_failures = [NotEnoughAnswers("silent")] * 2  # at sight, and when it is settled
    await step_once(world, chain)
    assert (await world.states(order), await world.state(order)) == ([("final", "")], "confirming")
    await world.settle()
    assert await world.state(order) == "paid"


class Broken:
    """A provider with an error that nobody foresaw."""

    name = "broken"

    async def look_up(self, network: str, addresses: Sequence[str]) -> Sequence[Finding]:
        raise ZeroDivisionError(network, addresses)


async def test_AML_03_a_provider_that_breaks_stops_the_credits_and_not_the_reading(
    world: World, caplog: pytest.LogCaptureFixture
):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    lists, world.lists = world.lists, Broken()  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        await step_once(world)
    assert "nothing can be settled at sight" in caplog.text
    assert await world.states(order) == [("final", "")]
    world.lists = lists
    world.watchers["tron"] = world.build_watcher(world.chain("tron"))
    await free_lease(world)
    await world.settle()
    assert await world.state(order) == "paid"


async def test_earlier_money_of_an_order_is_decided_before_later_money(world: World):
    order = await world.open_order()
    first = await world.pay(order)
    await world.mine("tron")
    await step_once(world)
    second = await world.pay(order)
    await world.mine("tron", 9)
    await step_once(world)
    await world.settle()
    assert (await world.deposit(order, first)).state == "credited"
    assert [(d.state, d.label) for d in [await world.deposit(order, second)]] == [("unassigned", "double")]


async def test_money_that_waits_lets_no_later_money_of_its_order_pass_but_that_of_others(world: World):
    order, other = await world.open_order(), await world.open_order()
    world.lists.is_down = True
    first = await world.pay(order)
    await world.mine("tron", 5)
    await world.settle()
    world.lists.is_down = False
    second = await world.pay(order)
    await world.pay(other)
    await world.mine("tron", 5)
    await step_once(world)
    assert await world.state(other) == "paid"
    assert "deposit_seen" in await postings(world)
    await world.settle()
    assert (await world.deposit(order, first)).state == "credited"
    assert (await world.deposit(order, second)).label == "double"


async def test_more_than_a_batch_settles_in_turns(world: World):
    orders = await world.open_orders("usdt-tron", ["1"] * (CLEARING_BATCH + 9))
    await world.watch("tron")
    paid = [order for order in orders if isinstance(order, Payin)]
    await world.broadcast(*[world.payment(order) for order in paid])
    await world.mine("tron", 5)
    await world.settle()
    assert {await world.state(order) for order in paid} == {"paid"}
    assert sorted(await postings(world), key=str).count("deposit_seen") == 9


@pytest.mark.parametrize("amounts", [("40", "60"), ("60", "39", "1"), ("40", "50", "20")])
async def test_parts_in_one_block_are_added_up_at_sight(start: Start, amounts: tuple[str, ...]):
    world = await start(policy=Policy(is_summing=True, accepts_over=True))
    order = await world.open_order()
    await world.broadcast(*[world.payment(order, amount) for amount in amounts])
    await world.mine("tron", 5)
    await step_once(world)
    assert await world.state(order) == "paid"
    assert await world.labels(order) == set()
    shown = await world.show(order)
    assert shown.accepted_units == sum(int(amount) for amount in amounts) * 10**6
    await world.settle()
    assert world.inbox.statuses(order) == [8]


async def test_DEP_19_a_reorganisation_deeper_than_finality_reverses_what_was_settled_at_sight(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    await step_once(world)
    await world.settle()
    await world.reorg("tron", 6)
    await world.settle()
    assert await world.states(order) == [("reversed", "")]
    assert await world.account(accounts.deposit_custody(order.address), "usdt-tron") == 0
    assert (await world.balance()).available_units == 0
