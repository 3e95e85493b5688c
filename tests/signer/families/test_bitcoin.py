"""Bitcoin signing: Bitcoin Core's own script verification takes every input, or nothing is signed at all."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import wallycore
from tests.chains.bitcoin.conftest import coin, network
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.mempool import Refused, verify
from tests.chains.bitcoin.ours import HOT, KEYS, intent, pays, wallet
from tests.chains.bitcoin.serialize import RBF, Tx, TxOut

from bitlinkpay.chains.bitcoin.drafting import Rate, draft
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.script import address_of, script_of
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Unspent
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.families import dispatch
from bitlinkpay.signer.families.bitcoin import sign
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet, PlanMismatch

ANN = TestKey.of("ann")
TARGET = address_of(ANN.script(), TEST)
DEPOSIT = wallet(KeyRole.DEPOSIT, 5)
COINS = [Unspent(f"{n:02x}" * 32, n, 400_000, HOT) for n in range(1, 4)]
PAYOUT = intent(pays((TARGET, 300_000), (address_of(ANN.script(Lock.P2TR), TEST), 200_000)))
PLAN = draft(PAYOUT, COINS, Rate(5_000, 700), TEST)
SWEEP = intent([Payment(DEPOSIT, "btc-bitcoin", HOT.address, "", 90_000)], Purpose.SWEEP)
SWEPT = draft(SWEEP, [Unspent("aa" * 32, 0, 90_000, DEPOSIT)], Rate(5_000, 700), TEST)


def outputs(plan: BitcoinPlan) -> list[TxOut]:
    return [TxOut(spent.units, script_of(spent.owner.address, TEST)) for spent in plan.inputs]


@pytest.mark.parametrize(("what", "plan"), [(PAYOUT, PLAN), (SWEEP, SWEPT)], ids=["payout", "sweep"])
def test_bitcoin_core_takes_every_signature(what, plan):
    signed = sign(what, plan, KEYS)
    tx = Tx.parse(signed.raw)
    verify(tx, outputs(plan))
    assert tx.txid == signed.txid
    assert [i.outpoint for i in tx.inputs] == [(spent.txid, spent.vout) for spent in plan.inputs]
    assert {i.sequence for i in tx.inputs} == {RBF}
    assert (tx.version, tx.locktime) == (2, 0)


def test_the_outputs_are_the_payments_in_order_and_the_change():
    tx = Tx.parse(sign(PAYOUT, PLAN, KEYS).raw)
    own = script_of(HOT.address, TEST)
    paid = [TxOut(300_000, ANN.script()), TxOut(200_000, ANN.script(Lock.P2TR)), TxOut(700_000 - PLAN.fee_units, own)]
    assert list(tx.outputs) == paid


def test_a_sweep_has_one_output_to_the_wallet():
    tx = Tx.parse(sign(SWEEP, SWEPT, KEYS).raw)
    assert list(tx.outputs) == [TxOut(90_000 - SWEPT.fee_units, script_of(HOT.address, TEST))]


def test_PAY_39_signatures_are_low_r_low_s_and_never_share_an_r():
    seen: set[bytes] = set()
    for n in range(150):
        what = intent(pays((TARGET, 300_000 + n)))
        tx = Tx.parse(sign(what, draft(what, COINS, Rate(5_000, 700), TEST), KEYS).raw)
        for i in tx.inputs:
            assert len(i.witness[0]) <= 71, "a high r or s takes another byte"
            compact = bytes(wallycore.ec_sig_from_der(i.witness[0][:-1]))
            assert compact[0] < 0x80
            assert compact[32] < 0x80
            seen.add(compact[:32])
    assert len(seen) == 450


def test_the_same_question_has_the_same_answer():
    assert sign(PAYOUT, PLAN, KEYS) == sign(PAYOUT, PLAN, KEYS)


def with_inputs(plan: BitcoinPlan, *spent: Unspent) -> BitcoinPlan:
    """Return a plan with other inputs and the fee that follows."""
    units = sum(coin.units for coin in spent)
    return replace(plan, inputs=spent, fee_units=units - 500_000 - sum(plan.change))


Change = Callable[[Intent, BitcoinPlan], tuple[Intent, BitcoinPlan]]
FOREIGN = replace(HOT, address=TARGET)
LIES: dict[str, Change] = {
    "no inputs": lambda i, p: (i, replace(p, inputs=())),
    "an input twice": lambda i, p: (i, with_inputs(p, p.inputs[0], p.inputs[0], p.inputs[1])),
    "an input that nobody named": lambda i, p: (i, with_inputs(p, *p.inputs[:2], replace(COINS[2], owner=DEPOSIT))),
    "another fee than it says": lambda i, p: (i, replace(p, fee_units=p.fee_units - 1)),
    "a fee above the intent's": lambda i, p: (replace(i, fee_max_units=p.fee_units - 1), p),
    "a fee of all change": lambda i, p: (i, replace(p, change=(), fee_units=700_000)),
    "a fee too low to be relayed": lambda i, p: (i, replace(p, change=(699_800,), fee_units=200)),
    "change below dust": lambda i, p: (i, replace(p, change=(p.change[0] - 293, 293))),
    "change to another": lambda i, p: (i, replace(p, payer=FOREIGN)),
    "another network": lambda i, p: (replace(i, network="ethereum"), p),
    "a target of the main chain": lambda i, p: (
        replace(i, payments=pays(("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", 300_000), (TARGET, 200_000))), p),
    "a memo": lambda i, p: (replace(i, payments=tuple(replace(x, tag="7") for x in i.payments)), p),
    "money of another wallet": lambda i, p: (replace(i, payments=tuple(replace(x, source=DEPOSIT) for x in i.payments)), p),
    "a payout to ourselves": lambda i, p: (replace(i, payments=pays((HOT.address, 500_000))), p),
    "no payments": lambda i, p: (replace(i, payments=()), p),
    "too many payments": lambda i, p: (replace(i, payments=pays(*[(TARGET, 4_950)] * 101)), p),
    "a sweep to another": lambda i, p: (replace(i, purpose=Purpose.SWEEP), p),
    "gas": lambda i, p: (replace(i, purpose=Purpose.GAS), p),
    "a cancelling that pays": lambda i, p: (replace(i, purpose=Purpose.CANCEL), p),
    "dust given up beyond the fee": lambda i, p: (i, replace(p, dust_units=p.fee_units + 1)),
    "more coins than there can be": lambda i, p: (i, with_inputs(p, replace(COINS[0], units=21 * 10**14 + 1))),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_PAY_35_a_plan_that_does_anything_else_is_not_signed(lie):
    what, plan = LIES[lie](PAYOUT, PLAN)
    with pytest.raises(PlanMismatch):
        sign(what, plan, KEYS)
    sign(PAYOUT, PLAN, KEYS)


JOIN = intent(pays((HOT.address, 1_200_000)), Purpose.CONSOLIDATION)
JOINED = draft(JOIN, COINS, Rate(2_000, 700), TEST)
OTHER_WAYS: dict[str, Change] = {
    "fewer outputs": lambda i, p: (replace(i, payments=pays((HOT.address, 1_199_999))), p),
    "more outputs": lambda i, p: (replace(i, payments=pays((HOT.address, 1_200_001))), p),
    "to another": lambda i, p: (replace(i, payments=pays((TARGET, 1_200_000))), p),
    "for nobody": lambda i, p: (replace(i, payments=()), p),
    "in two halves": lambda i, p: (replace(i, payments=pays((HOT.address, 600_000), (HOT.address, 600_000))), p),
    "into two": lambda i, p: (i, replace(p, change=(p.change[0] - 1_000, 1_000))),
    "of a deposit": lambda i, p: (
        replace(i, payments=pays((HOT.address, 1_200_000), source=DEPOSIT)),
        replace(p, inputs=tuple(replace(c, owner=DEPOSIT) for c in p.inputs))),
}  # fmt: skip


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_a_consolidation_joins_the_payers_own_outputs_of_exactly_so_much_into_one(way):
    signed = Tx.parse(sign(JOIN, JOINED, KEYS).raw)
    assert list(signed.outputs) == [TxOut(1_200_000 - JOINED.fee_units, script_of(HOT.address, TEST))]
    with pytest.raises(PlanMismatch):
        sign(*OTHER_WAYS[way](JOIN, JOINED), KEYS)


@pytest.mark.parametrize("units", [89_999, 90_001])
def test_a_sweep_of_another_amount_than_it_spends_is_not_signed(units):
    what = replace(SWEEP, payments=(replace(SWEEP.payments[0], units=units),))
    with pytest.raises(PlanMismatch, match="instead of"):
        sign(what, SWEPT, KEYS)


def test_an_asset_that_the_signer_does_not_know_is_not_signed():
    with pytest.raises(ForeignAsset):
        sign(replace(PAYOUT, payments=tuple(replace(p, asset="usdt-tron") for p in PAYOUT.payments)), PLAN, KEYS)


def test_a_wallet_whose_key_gives_another_address_is_not_signed_for():
    stranger = replace(HOT, index=1)
    what = replace(PAYOUT, payer=stranger, payments=tuple(replace(p, source=stranger) for p in PAYOUT.payments))
    plan = replace(PLAN, payer=stranger, inputs=tuple(replace(c, owner=stranger) for c in PLAN.inputs))
    with pytest.raises(ForeignWallet):
        sign(what, plan, KEYS)


def test_a_lie_about_what_an_input_holds_gives_a_signature_that_nobody_takes():
    signed = sign(PAYOUT, PLAN, KEYS)
    real = outputs(PLAN)
    verify(Tx.parse(signed.raw), real)
    with pytest.raises(Refused):
        verify(Tx.parse(signed.raw), [replace(real[0], units=real[0].units + 50_000), *real[1:]])


def test_the_signer_knows_two_plans_that_exclude_each_other():
    bumped = replace(PLAN, inputs=PLAN.inputs[::-1], fee_units=PLAN.fee_units + 500)
    assert dispatch.place(PLAN) == dispatch.place(bumped)
    assert dispatch.place(PLAN) != dispatch.place(replace(PLAN, inputs=PLAN.inputs[:2]))
    assert dispatch.place(PLAN) != dispatch.place(SWEPT)


def test_the_signer_reads_the_plan_of_a_live_network_only():
    text = dispatch.msgspec.json.encode(PLAN)
    assert dispatch.read_plan(Mode.LIVE, network(), text) == PLAN
    for mode, broken in ((Mode.SANDBOX, text), (Mode.LIVE, text[:-2]), (Mode.LIVE, b'{"number": 1, "fee_units": 2}')):
        with pytest.raises(PlanMismatch):
            dispatch.read_plan(mode, network(), broken)


def test_the_coin_of_the_tests_is_the_built_in_one():
    assert (coin().id, coin().decimals) == ("btc-bitcoin", 8)
