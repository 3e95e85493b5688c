"""Every shape in which money comes on TON, on the real virtual machine; beside each trap a payment that counts."""

from itertools import pairwise

import pytest
from pytoniq_core import Address, Cell, begin_cell
from tests.chains.ton.conftest import OURS, Desk, arrived, payment, scan, shown
from tests.chains.ton.network import PAYER, THROWS, TON, Jetton, TonNetwork, jetton, raw, text

from bitlinkpay.chains.base import FateState
from bitlinkpay.core.assets import Asset

TAG = "123456789"
NOTIFICATION = 0x7362D09C
GENUINE = ("usdt-ton", TAG, 7_000_000)
THIEF = "0:" + "cc" * 32


async def pay_genuine(network: TonNetwork, usdt: Asset, **how: object) -> None:
    await network.pay_jettons(usdt.contract, OURS, 7_000_000, TAG, **how)


async def last_of(network: TonNetwork, account: str) -> dict:
    answer = await network.api("/transactions", account=account, limit="1", sort="desc")
    return answer["transactions"][0]


def notification(units: int, sender: str, memo: str) -> Cell:
    """Return the body that a jetton wallet tells its owner with; nothing keeps others from sending it."""
    fields = begin_cell().store_uint(NOTIFICATION, 32).store_uint(0, 64).store_coins(units)
    return fields.store_address(Address(sender)).store_bit(1).store_ref(text(memo)).end_cell()


async def test_TON_01_a_returned_payment_to_the_wallet_that_does_not_stand_yet_is_none(network, chains):
    first = await network.mine()
    await network.pay(OURS, TON, TAG, bounce=True)
    await network.mine()
    gone = await last_of(network, OURS)
    assert gone["description"]["bounce"]["type"] == "ok"
    assert gone["account_state_after"]["balance"] == "0"
    assert await arrived(chains(), first) == []
    await network.pay(OURS, TON, TAG)
    await network.mine()
    assert shown(await arrived(chains(), first)) == [("ton-ton", TAG, TON)]


async def test_TON_01_the_wallet_that_stands_takes_what_may_be_returned(desk: Desk):
    first = await desk.network.mine()
    await desk.network.pay(OURS, TON, TAG, bounce=True)
    await desk.network.mine()
    assert shown(await arrived(desk.chain, first)) == [("ton-ton", TAG, TON)]


async def test_TON_02_our_own_payment_that_comes_back_is_no_deposit(desk: Desk):
    target = await desk.network.deploy(THROWS, begin_cell().end_cell())
    first = await desk.network.mine()
    done = await desk.send(payment("ton-ton", target, TON))
    assert (done.state, done.delivered) == (FateState.FINAL, (False,))
    assert (await last_of(desk.network, OURS))["in_msg"]["bounced"] is True
    assert await arrived(desk.chain, first) == []
    await desk.network.pay(OURS, 3 * TON, TAG, source=target)
    await desk.network.mine()
    assert shown(await arrived(desk.chain, first)) == [("ton-ton", TAG, 3 * TON)]


async def test_TON_03_a_forged_notice_of_a_foreign_wallet_is_no_money(network, chains, usdt):
    first = await network.mine()
    await network.send(THIEF, OURS, TON // 1000, notification(10**12, PAYER, TAG))
    await network.mine()
    assert await arrived(chains(assets=[usdt]), first) == []
    await pay_genuine(network, usdt)
    await network.mine()
    assert shown(await arrived(chains(assets=[usdt]), first)) == [GENUINE]


async def test_TON_04_a_perfect_notice_of_another_masters_wallet_is_no_money(network, chains, usdt):
    """The other jetton looks the same, its wallet runs the same code, its notice carries our memo."""
    fake = await network.jetton(issuer=THIEF)
    await network.mint(fake.master, THIEF, 10**12, issuer=THIEF)
    await network.mine()
    first = await network.mine()
    await network.pay_jettons(fake.master, OURS, 7_000_000, TAG, source=THIEF)
    await network.mine()
    told = await last_of(network, OURS)
    assert (told["in_msg"]["opcode"], raw(Address(told["in_msg"]["source"]))) == (
        "0x7362d09c",
        await fake.wallet_of(OURS),
    )
    assert await fake.units_of(OURS) == 7_000_000
    assert await arrived(chains(assets=[usdt]), first) == []
    await pay_genuine(network, usdt)
    await network.mine()
    assert shown(await arrived(chains(assets=[usdt]), first)) == [GENUINE]


async def test_TON_04_a_master_that_vouches_for_a_thiefs_wallet_does_not_get_it_read(network, chains, usdt):
    """What counts is the pinned wallet; that the master names another one puts the asset on hold."""
    fake = await network.jetton(issuer=THIEF)
    wrong = jetton(usdt.contract, await fake.wallet_of(OURS))
    await network.mint(fake.master, THIEF, 10**12, issuer=THIEF)
    await network.mine()
    facts = await chains(assets=[wrong]).probe(wrong)
    assert facts.wallet == usdt.wallet != wrong.wallet


@pytest.mark.parametrize("op", [0x178D4518, 0x7362D09C, 0x595F07BC, 0xFFFFFFFF])
async def test_TON_05_another_operation_at_our_jetton_wallet_is_no_money(network, chains, usdt, op):
    await pay_genuine(network, usdt)
    await network.mine()
    first = await network.mine()
    body = begin_cell().store_uint(op, 32).store_uint(0, 64).store_coins(10**9).store_address(Address(PAYER)).end_cell()
    await network.send(THIEF, usdt.wallet, TON, body)
    await network.mine()
    assert await arrived(chains(assets=[usdt]), first) == []
    await pay_genuine(network, usdt)
    await network.mine()
    assert shown(await arrived(chains(assets=[usdt]), first)) == [GENUINE]


async def test_TON_05_an_internal_transfer_of_a_stranger_is_refused_by_our_jetton_wallet(network, chains, usdt):
    """Word for word what a jetton wallet sends, but from nobody's jetton wallet: the contract itself aborts."""
    await pay_genuine(network, usdt)
    await network.mine()
    first = await network.mine()
    body = begin_cell().store_uint(0x178D4519, 32).store_uint(0, 64).store_coins(10**9).store_address(Address(PAYER))
    body = body.store_address(Address(PAYER)).store_coins(1).store_bit(1).store_ref(text(TAG)).end_cell()
    await network.send(THIEF, usdt.wallet, TON, body)
    await network.mine()
    assert (await last_of(network, usdt.wallet))["description"]["aborted"] is True
    assert await arrived(chains(assets=[usdt]), first) == []


PAYLOADS = [
    begin_cell().end_cell(),
    begin_cell().store_uint(0, 31).end_cell(),
    begin_cell().store_uint(0, 32).store_uint(1, 3).end_cell(),
    begin_cell().store_uint(0, 32).store_bytes(b"\xff\xfe123456789").end_cell(),
    begin_cell().store_uint(0, 32).store_ref(text("a")).store_ref(text("b")).end_cell(),
    begin_cell().store_uint(0x2167DA4B, 32).store_bytes(TAG.encode()).end_cell(),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
async def test_TON_05_a_malformed_payload_leaves_the_money_without_a_tag(network, chains, usdt, payload):
    first = await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 5, payload)
    await pay_genuine(network, usdt)
    await network.mine()
    assert shown(await arrived(chains(assets=[usdt]), first)) == [("usdt-ton", "", 5), GENUINE]


INLINE = begin_cell().store_uint(0, 32).store_bytes(TAG.encode()).end_cell()


@pytest.mark.parametrize("answer_to", ["none", "extern", "var", "anycast"])
async def test_TON_05_whatever_address_the_payer_chose_for_the_excesses_the_money_is_read(
    network, chains, usdt, answer_to
):
    forms = {
        "none": begin_cell().store_uint(0, 2),
        "extern": begin_cell().store_uint(0b01, 2).store_uint(9, 9).store_uint(5, 9),
        "var": begin_cell().store_uint(0b110, 3).store_uint(40, 9).store_int(0, 32).store_uint(7, 40),
        "anycast": begin_cell().store_uint(0b101, 3).store_uint(5, 5).store_uint(3, 5).store_uint(0, 264),
    }
    fields = begin_cell().store_uint(0x0F8A7EA5, 32).store_uint(7, 64).store_coins(7_000_000)
    fields = fields.store_address(Address(OURS)).store_slice(forms[answer_to].end_cell().begin_parse())
    body = fields.store_bit(0).store_coins(1).store_bit(1).store_ref(text(TAG)).end_cell()
    first = await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 7_000_000, body=body)
    await network.mine()
    takes = answer_to in {"none", "extern"}  # the contract itself refuses the other two
    assert await Jetton(network, usdt.contract).units_of(OURS) == (7_000_000 if takes else 0)
    assert shown(await arrived(chains(assets=[usdt]), first)) == ([GENUINE] if takes else [])


async def test_TON_05_a_payload_within_the_message_itself_is_read_too(network, chains, usdt):
    fields = (
        begin_cell().store_uint(0x0F8A7EA5, 32).store_uint(7, 64).store_coins(7_000_000).store_address(Address(OURS))
    )
    fields = fields.store_address(Address(PAYER)).store_bit(0).store_coins(1).store_bit(0)
    body = fields.store_slice(INLINE.begin_parse()).end_cell()
    first = await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 7_000_000, body=body)
    await network.mine()
    assert shown(await arrived(chains(assets=[usdt]), first)) == [GENUINE]


async def test_TON_06_jettons_without_a_notice_are_found_and_belong_to_nobody_yet(network, chains, usdt):
    first = await network.mine()
    await pay_genuine(network, usdt, forward=0)
    await network.mine()
    assert (await network.api("/transactions", account=OURS, limit="9"))["transactions"] == []
    chain = chains(assets=[usdt])
    assert shown(await arrived(chain, first)) == [("usdt-ton", "", 7_000_000)]
    await pay_genuine(network, usdt)
    height = await network.mine()
    assert shown(await arrived(chain, first)) == [("usdt-ton", "", 7_000_000), GENUINE]
    assert await chain.balances(usdt, [OURS], height) == [14_000_000]


async def test_TON_09_a_notice_of_one_nanoton_aborts_and_the_money_counts(network, chains, usdt):
    first = await network.mine()
    await pay_genuine(network, usdt, forward=1)
    await network.mine()
    notice = await last_of(network, OURS)
    assert (notice["in_msg"]["opcode"], notice["description"]["aborted"]) == ("0x7362d09c", True)
    assert shown(await arrived(chains(assets=[usdt]), first)) == [GENUINE]


async def test_TON_09_the_same_on_the_wallet_that_stands(desk: Desk):
    first = await desk.network.mine()
    await desk.network.pay_jettons(desk.assets["usdt-ton"].contract, OURS, 7_000_000, TAG)
    await desk.network.mine()
    assert (await last_of(desk.network, OURS))["description"]["aborted"] is True
    assert shown(await arrived(desk.chain, first)) == [GENUINE]


async def test_TON_09_plain_coins_to_a_wallet_that_does_not_stand_abort_and_count(network, chains):
    first = await network.mine()
    await network.pay(OURS, 2 * TON, TAG)
    await network.mine()
    assert (await last_of(network, OURS))["description"]["aborted"] is True
    assert shown(await arrived(chains(), first)) == [("ton-ton", TAG, 2 * TON)]


async def test_TON_09_a_jetton_wallets_own_aborted_transaction_is_no_money(network, chains, usdt):
    """Too little gas: the sender's wallet sends, ours cannot take it, and it goes back."""
    await pay_genuine(network, usdt)
    await network.mine()
    first = await network.mine()
    body = begin_cell().store_uint(0x178D4519, 32).store_uint(0, 64).store_coins(10**9).store_address(Address(PAYER))
    body = body.store_address(Address(PAYER)).store_coins(0).store_bit(0).end_cell()
    sender = await Jetton(network, usdt.contract).wallet_of(PAYER)
    await network.send(sender, usdt.wallet, 1000, body)
    await network.mine()
    gone = await last_of(network, usdt.wallet)
    assert (gone["description"]["aborted"], gone["description"]["compute_ph"].get("success")) in {
        (True, None),
        (True, False),
    }
    assert await arrived(chains(assets=[usdt]), first) == []
    await network.send(sender, usdt.wallet, TON, body)  # from the genuine wallet and with gas it is money
    await network.mine()
    assert shown(await arrived(chains(assets=[usdt]), first)) == [("usdt-ton", "", 10**9)]


async def test_TON_10_many_payments_of_one_block_are_told_apart(network, chains, usdt):
    first = await network.mine()
    for n in range(30):
        await network.pay(OURS, TON, TAG)
        await network.pay_jettons(usdt.contract, OURS, 1 + n, TAG)
    await network.mine()
    found = await arrived(chains(assets=[usdt]), first)
    assert sorted(shown(found)) == sorted([("ton-ton", TAG, TON)] * 30 + [("usdt-ton", TAG, 1 + n) for n in range(30)])
    assert len({(transfer.txid, transfer.position) for transfer in found}) == 60


async def test_TON_10_a_highload_sender_pays_us_many_times_at_once(desk: Desk):
    """Another platform's batch: here our own wallet pays itself by way of the payer's jetton wallet and coins."""
    first = await desk.network.mine()
    hundred = [payment("ton-ton", OURS, TON, TAG) for _ in range(3)]
    await desk.send(*hundred)
    assert await arrived(desk.chain, first) == []  # from ourselves: moved, not received (DEP-19)
    await desk.network.pay(OURS, TON, TAG)
    await desk.network.mine()
    assert shown(await arrived(desk.chain, first)) == [("ton-ton", TAG, TON)]


async def test_TON_13_other_jettons_nfts_and_excesses_are_no_coins(desk: Desk):
    network = desk.network
    gram = await network.jetton(symbol="TON", decimals=9, issuer=THIEF)
    await network.mint(gram.master, THIEF, 10**15, issuer=THIEF)
    await network.mine()
    first = await network.mine()
    await network.pay_jettons(gram.master, OURS, 10**12, TAG, source=THIEF)
    owned = (
        begin_cell().store_uint(0x05138D91, 32).store_uint(0, 64).store_address(Address(THIEF)).store_bit(0).end_cell()
    )
    await network.send(THIEF, OURS, 1, owned)
    excess = begin_cell().store_uint(0xD53276DB, 32).store_uint(0, 64).end_cell()
    await network.send(THIEF, OURS, 5 * TON, excess)
    await network.mine()
    assert await arrived(desk.chain, first) == []
    await network.send(THIEF, OURS, 5 * TON, owned)  # real coins, whatever they say: kept, with nobody's tag
    await network.pay(OURS, 5 * TON, TAG)
    await network.mine()
    assert shown(await arrived(desk.chain, first)) == [("ton-ton", "", 5 * TON), ("ton-ton", TAG, 5 * TON)]


async def test_TON_13_what_is_left_of_our_own_gas_is_no_deposit(desk: Desk):
    first = await desk.network.mine()
    done = await desk.send(payment("usdt-ton", PAYER, 5))
    assert done.delivered == (True,)
    assert (await last_of(desk.network, OURS))["in_msg"]["opcode"] == "0xd53276db"
    assert await arrived(desk.chain, first) == []


async def test_TON_15_dust_with_memos_is_told_as_what_it_is(network, chains):
    first = await network.mine()
    for n in range(300):
        await network.pay(OURS, 1 + n, f"{n} spam " * 40)
    await network.pay(OURS, TON, TAG)
    await network.mine()
    found = await arrived(chains(), first)
    assert [transfer.units for transfer in found] == [*range(1, 301), TON]
    assert max(len(transfer.tag) for transfer in found) == 128
    assert found[-1].tag == TAG


async def test_TON_16_the_value_that_came_counts_not_what_was_sent(desk: Desk):
    """A contract forwards what it got, less what the way cost."""
    first = await desk.network.mine()
    await desk.network.pay(OURS, 999_600_000, TAG)
    await desk.network.mine()
    told = await last_of(desk.network, OURS)
    assert int(told["account_state_after"]["balance"]) - int(told["account_state_before"]["balance"]) < 999_600_000
    assert shown(await arrived(desk.chain, first)) == [("ton-ton", TAG, 999_600_000)]


async def test_TON_17_words_in_a_memo_are_foreign_text_and_nothing_else(network, chains):
    first = await network.mine()
    await network.pay(OURS, TON, "Migrate your TON to GRAM at https://gram.example \u202e\x00\x1b[31m")
    await network.pay(OURS, TON, TAG)
    await network.mine()
    foreign, genuine = await arrived(chains(), first)
    assert foreign.tag == "Migrate your TON to GRAM at https://gram.example \ufffd\ufffd\ufffd[31m"
    assert genuine.tag == TAG


async def test_a_masterchain_address_may_pay_us(network, chains):
    first = await network.mine()
    await network.pay(OURS, TON, TAG, source="-1:" + "dd" * 32)
    await network.mine()
    (found,) = await arrived(chains(), first)
    assert (found.source, found.target) == ("-1:" + "dd" * 32, OURS)


async def test_jettons_made_for_us_name_no_payer(network, chains, usdt):
    first = await network.mine()
    await network.mint(usdt.contract, OURS, 77)
    await network.mine()
    (found,) = await arrived(chains(assets=[usdt]), first)
    assert (found.source, found.tag, found.units) == ("", "", 77)


async def test_a_transfer_of_nothing_is_nothing(network, chains, usdt):
    first = await network.mine()
    await network.pay_jettons(usdt.contract, OURS, 0, TAG)
    await network.send(PAYER, OURS, 0, text(TAG))
    await network.mine()
    assert await arrived(chains(assets=[usdt]), first) == []


async def test_a_jetton_that_is_not_pinned_is_not_read_and_says_what_to_write(network, chains, usdt):
    loose = jetton(usdt.contract, "")
    first = await network.mine()
    await pay_genuine(network, usdt)
    await network.pay(OURS, TON, TAG)
    await network.mine()
    chain = chains(assets=[loose])
    assert shown(await arrived(chain, first)) == [("ton-ton", TAG, TON)]
    assert (await chain.probe(loose)).wallet == usdt.wallet


async def test_blocks_without_money_are_told_all_the_same(network, chains):
    first = await network.mine()
    await network.mine(40)
    blocks = await scan(chains(), first)
    assert [block.height for block in blocks] == list(range(first, first + 41))
    assert all(later.parent == earlier.hash for earlier, later in pairwise(blocks))
