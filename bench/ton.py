"""TON: how fast transfers are read out of an indexer's answers, and what a payout costs on the real virtual machine.

    python -m bench.ton

The answers are made here in the form of a real one: pages of 256 transactions, coins and jettons in turn, every payer
and memo different, one memo in four that of an open order. A million tags are watched: here in a set, in a deployment
by one indexed query a block (`bench.deposits`).
"""

import asyncio
import os
import random
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import msgspec
from tests.chains.ton.conftest import OURS, WALLET, keys_of
from tests.chains.ton.network import TON, TonNetwork, coin, row

from bench.table import Row, show
from bitlinkpay.chains.outgoing import Intent, Payment, Purpose, Slot
from bitlinkpay.chains.ton.boc import serialize_boc
from bitlinkpay.chains.ton.cell import Builder, Cell
from bitlinkpay.chains.ton.chain import TonChain
from bitlinkpay.chains.ton.history import BEGINNING, Stretch
from bitlinkpay.chains.ton.memo import comment
from bitlinkpay.chains.ton.node import PAGE
from bitlinkpay.chains.ton.sender import TonSender
from bitlinkpay.chains.ton.transfers import Holdings
from bitlinkpay.chains.ton.wire import RawTransactions, decoder_of
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.signer.families.ton import sign

WATCHED = 1_000_000
PAGES = 20
PAYOUT_TON = 0.0015
JETTON_WALLET = "0:" + "7a" * 32
PINNED = Asset("usdt-ton", "USDT", "ton", "jetton", "0:" + "7b" * 32, JETTON_WALLET, 6, 6, 1, 1, 10**30, True)


def main() -> list[Row]:
    """Measure reading and paying."""
    return [*reading(), *asyncio.run(paying())]


def reading() -> list[Row]:
    """Measure decoding, checking of links, reading and matching, on one core."""
    chance = random.Random(1)
    watched = {f"{number:09}" for number in chance.sample(range(10**9), WATCHED)}
    ours = chance.sample(sorted(watched), PAGES * PAGE // 4)
    rows = []
    for title, account in (("coins", OURS), ("jettons", JETTON_WALLET)):
        pages = [page(account, ours[n * PAGE // 4 : (n + 1) * PAGE // 4], n * PAGE) for n in range(PAGES)]
        started = time.process_time()
        found = sum(matched(each, account, watched) for each in pages)
        spent = time.process_time() - started
        assert found == len(ours)
        detail = f"{PAGES * PAGE / spent:,.0f} transactions/s, {len(pages[0]) // PAGE} bytes each"
        rows.append(Row(f"TON: matched transfers/s, {title}", found / spent, None, detail))
    return rows


def matched(answer: bytes, account: str, watched: set[str]) -> int:
    """Read one page as the adapter does, and count what belongs to an order."""
    holdings = Holdings(OURS, [coin(), PINNED])
    transactions = decoder_of(RawTransactions).decode(answer).transactions
    stretch = Stretch((), BEGINNING).follow(account, transactions)
    transfers = (holdings.transfer_of(transaction) for transaction in stretch.transactions)
    return sum(transfer is not None and transfer.tag in watched for transfer in transfers)


def page(account: str, tags: list[str], start: int) -> bytes:
    """Return a page of an account's history, one memo in four from `tags`."""
    told, before, before_lt = [], "A" * 43 + "=", 0
    for n in range(PAGE):
        memo = tags[n // 4] if n % 4 == 0 else f"order {start + n}"
        body = comment(memo) if account == OURS else internal_transfer(memo)
        transaction = transaction_of(account, body, before, before_lt)
        before, before_lt = transaction["hash"], int(transaction["lt"])
        told.append(transaction)
    return msgspec.json.encode({"transactions": told, "address_book": {}})


def internal_transfer(memo: str) -> Cell:
    fields = Builder().uint(0x178D4519, 32).uint(7, 64).coins(10_000_000).address("0:" + os.urandom(32).hex())
    return fields.address("0:" + os.urandom(32).hex()).coins(1).bit(1).ref(comment(memo)).end()


def transaction_of(account: str, body: Cell, before: str, before_lt: int) -> dict[str, object]:
    def digest() -> str:
        return b64encode(os.urandom(32)).decode()

    source = ("0:" + os.urandom(32).hex()).upper()
    state = {"hash": digest(), "balance": "2717267789", "extra_currencies": {}, "account_status": "active",
             "frozen_hash": None, "data_hash": digest(), "code_hash": digest()}  # fmt: skip
    return {
        "account": account.upper(), "hash": digest(), "lt": str(before_lt + 2_000_003), "now": 1785330571, "mc_block_seqno": 82744100,
        "trace_id": digest(), "prev_trans_hash": before, "prev_trans_lt": str(before_lt), "orig_status": "active", "end_status": "active",
        "total_fees": "166617", "total_fees_extra_currencies": {},
        "description": {
            "type": "ord", "aborted": False, "destroyed": False, "credit_first": False,
            "storage_ph": {"storage_fees_collected": "72", "status_change": "unchanged"}, "credit_ph": {"credit": "1000000000"},
            "compute_ph": {"skipped": False, "success": True, "msg_state_used": False, "account_activated": False, "gas_fees": "230800",
                           "gas_used": "577", "gas_limit": "1000000", "mode": 0, "exit_code": 0, "vm_steps": 20,
                           "vm_init_state_hash": digest(), "vm_final_state_hash": digest()},
            "action": {"success": True, "valid": True, "no_funds": False, "status_change": "unchanged", "result_code": 0, "tot_actions": 0,
                       "spec_actions": 0, "skipped_actions": 0, "msgs_created": 0, "action_list_hash": digest(),
                       "tot_msg_size": {"cells": "0", "bits": "0"}},
        },
        "block_ref": {"workchain": 0, "shard": "8000000000000000", "seqno": 87315937},
        "in_msg": {
            "hash": digest(), "source": source, "destination": account.upper(), "value": "1000000000", "value_extra_currencies": {},
            "fwd_fee": "44446", "ihr_fee": "0", "extra_flags": "0", "created_lt": str(before_lt + 1), "created_at": "1785330571",
            "opcode": "0x00000000", "decoded_opcode": None, "ihr_disabled": True, "bounce": False, "bounced": False, "import_fee": None,
            "message_content": {"hash": b64encode(body.hash).decode(), "body": b64encode(serialize_boc(body)).decode(), "decoded": None},
            "init_state": None,
        },
        "out_msgs": [], "account_state_before": state, "account_state_after": state, "emulated": False, "finality": "finalized",
    }  # fmt: skip


async def paying() -> list[Row]:
    """Pay a hundred recipients at once, in coins and in jettons, and read what it cost from the wallet's balance."""
    async with TonNetwork.start() as network:
        usdt = await network.token(OURS)
        await network.fund(OURS, coin(), 1000 * TON)
        await network.fund(OURS, usdt, 10**12)
        chain = TonChain(row(), [coin(), usdt], [Endpoint(network.url)], wallet=OURS, quorum=1)
        sender = TonSender(chain, [coin(), usdt])
        rows = []
        for number, (title, asset, count, target) in enumerate(
            (
                ("the wallet's first state", coin(), 0, None),
                ("TON for each of 100 payouts in TON", coin(), 100, PAYOUT_TON),
                ("TON for each of 100 payouts in a jetton, new holders", usdt, 100, None),
                ("TON for each of 100 payouts in a jetton, holders before", usdt, 100, None),
                ("TON for one payout in TON", coin(), 1, None),
            )
        ):
            started = time.perf_counter()
            fee, size = await pay(network, sender, asset, count=count, number=number)
            detail = (
                f"{size:,} bytes, {time.perf_counter() - started:.2f} s on the emulator, fees as before the cut of 2026"
            )
            rows.append(Row(f"TON: {title}", fee / TON / max(1, count), target, detail, at_least=False))
        await chain.aclose()
        return rows


async def pay(network: TonNetwork, sender: TonSender, asset: Asset, *, count: int, number: int) -> tuple[int, int]:
    """Return the fee in nanotons and the size of the message."""
    payments = tuple(
        Payment(WALLET, asset.id, f"0:{10**50 + n:064x}", f"memo {n}", 1_000_000 + n) for n in range(count)
    )
    purpose = Purpose.PAYOUT if count else Purpose.SETUP
    intent = Intent(new_uuid7(), "ton", purpose, WALLET, payments, 10 * TON, datetime.now(UTC) + timedelta(minutes=9))
    plan = await sender.plan(intent, Slot(number))
    signed = sign(intent, plan, keys_of(coin(), asset))
    await sender.broadcast(signed)
    await network.mine()
    outcome = await sender.outcome(intent, plan, signed)
    assert outcome.delivered == (True,) * count
    return outcome.fee_units, len(signed.raw)


if __name__ == "__main__":
    show(main())
