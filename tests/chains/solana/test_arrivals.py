"""What the adapter reads out of transactions that the real Solana machine has executed: SOL-01 to SOL-16, honest beside odd."""

from collections.abc import Sequence

import pytest
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    advance_nonce_account,
    create_nonce_account,
)
from solders.token.state import TokenAccount, TokenAccountState
from solders.transaction import VersionedTransaction
from tests.chains.solana import wallets
from tests.chains.solana.conftest import ChainMaker
from tests.chains.solana.ledger import FAUCET
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.wallets import TOKEN, TOKEN_2022, associated, person
from tests.nodes.proxy import Proxy

from bitlinkpay.chains.base import Arrival, FateState, Transfer
from bitlinkpay.core.assets import Asset

OURS = person(0xA1)
OUR_KEY = OURS.pubkey()
SHOP = str(OUR_KEY)
ALICE, MALLORY = person(0xB2), person(0xE7)
Three = tuple[Proxy, Proxy, Proxy]
PAID = Arrival.DIRECT


@pytest.fixture
async def usdt(network: SolanaNetwork) -> Asset:
    """A token of which Alice and Mallory hold 1,000 each, and coins of theirs to pay fees."""
    token = await network.token()
    for who in (ALICE, MALLORY):
        await network.fund(str(who.pubkey()), coin(), 10**10)
        await network.fund(str(who.pubkey()), token, 1_000_000_000)
    await network.mine()
    return token


def mint_of(token: Asset) -> Pubkey:
    return Pubkey.from_string(token.contract)


def pay(token: Asset, units: int, *, payer: Keypair = ALICE, target: Pubkey = OUR_KEY) -> list[Instruction]:
    """Return what a wallet sends: the recipient's account, made where it is missing, and a checked transfer."""
    mint = mint_of(token)
    source, account = associated(payer.pubkey(), mint), associated(target, mint)
    return [
        wallets.create_associated(payer, target, mint),
        wallets.transfer_checked(source, mint, account, payer, units, decimals=token.decimals),
    ]


async def arrived(
    network: SolanaNetwork, chains: ChainMaker, *tokens: Asset, txid: str = "", target: str = SHOP
) -> list[tuple[str, int, Arrival]]:
    """Make everything final and return what reached an address, in the order of the chain."""
    return [
        (t.asset.partition("-")[0], t.units, t.arrival)
        for t in await transfers(network, chains, *tokens)
        if t.target == target and txid in {"", t.txid}
    ]


async def transfers(network: SolanaNetwork, chains: ChainMaker, *tokens: Asset) -> list[Transfer]:
    final = await network.finalize()
    chain = chains(assets=tokens, range_max=1000)
    return [transfer for block in await chain.scan(1, final) for transfer in block.transfers]


def execution(network: SolanaNetwork, txid: str) -> object:
    found = network.outcome(txid)
    assert found is not None, f"{txid} stands in no block: {network.ledger.refused}"
    return found[1]


def assert_executed(network: SolanaNetwork, *txids: str) -> None:
    for txid in txids:
        done = execution(network, txid)
        assert done.err is None, done.meta.logs()


async def test_SOL_01_a_failed_transaction_brings_nothing(network, chains, usdt) -> None:
    too_much = wallets.transfer(ALICE, MALLORY.pubkey(), 10**15)
    failed = await network.send([*pay(usdt, 5), wallets.transfer(ALICE, OURS.pubkey(), 10**7), too_much], ALICE)
    honest = await network.send([*pay(usdt, 7), wallets.transfer(ALICE, OURS.pubkey(), 10**8)], ALICE)
    assert await arrived(network, chains, usdt) == [("usdt", 7, PAID), ("sol", 10**8, PAID)]
    assert execution(network, failed).err is not None
    assert_executed(network, honest)
    chain = chains(assets=[usdt])
    fate = await chain.fate(failed)
    assert (fate.state, fate.transfers) == (FateState.FAILED, ())
    assert [t.units for t in (await chain.fate(honest)).transfers] == [7, 10**8]


async def test_SOL_02_what_is_not_final_is_not_read_and_a_dead_fork_never_was(network, chains, usdt) -> None:
    chain = chains(assets=[usdt], range_max=1000)
    txid = await network.send(pay(usdt, 5), ALICE)
    await network.mine(2)
    head = await chain.head()
    assert head.latest == head.final
    assert head.final.height == network.ledger.final.slot < network.ledger.newest.slot
    assert not [t for b in await chain.scan(1, head.final.height) for t in b.transfers if t.target == SHOP]
    assert (await chain.fate(txid)).state is FateState.MINED
    await network.reorg(2)
    await network.finalize()
    assert not [
        t for b in await chain.scan(1, (await chain.head()).final.height) for t in b.transfers if t.target == SHOP
    ]
    assert (await chain.fate(txid)).state is FateState.UNKNOWN
    await network.send(pay(usdt, 6), ALICE)
    assert await arrived(network, chains, usdt) == [("usdt", 6, PAID)]
    levels = {
        p.get("commitment")
        for _, params in network.calls
        for p in params
        if isinstance(p, dict) and "searchTransactionHistory" not in p
    }
    assert levels == {"finalized"}


async def test_SOL_03_another_mint_is_another_token_whatever_it_calls_itself(network, chains, usdt) -> None:
    fake = await network.token(symbol="USDT")
    newer = await network.token(symbol="USDT", program=TOKEN_2022)
    for token in (fake, newer):
        await network.fund(SHOP, token, 1_000_000)
    await network.send(pay(usdt, 9), ALICE)
    assert await arrived(network, chains, usdt) == [("usdt", 9, PAID)]


async def test_SOL_03_the_program_of_the_accounts_is_part_of_the_token(network, chains) -> None:
    """A row that names the wrong standard credits nothing at all, and the look at the mint says why."""
    newer = await network.token(program=TOKEN_2022, standard="Token-2022")
    wrong = await network.token(program=TOKEN_2022, standard="SPL", symbol="USDX")
    for token in (newer, wrong):
        await network.fund(SHOP, token, 1_000_000)
    assert await arrived(network, chains, newer, wrong) == [("usdt", 1_000_000, PAID)]
    assert "write the `standard` of that program" in (await chains(assets=[wrong]).probe(wrong)).concerns[0]
    assert (await chains(assets=[newer]).probe(newer)).concerns == ()


def seized(token: Asset, account: Keypair, units: int, owner: Pubkey = OUR_KEY) -> list[Instruction]:
    """Return the steps that fill an account of Mallory's and hand it to an order, with a way to close it kept back."""
    mint, key = mint_of(token), account.pubkey()
    keep_close = Instruction(
        TOKEN,
        b"\x06\x03\x01" + bytes(MALLORY.pubkey()),
        [AccountMeta(key, False, True), AccountMeta(MALLORY.pubkey(), True, False)],
    )
    return [
        wallets.create(MALLORY, key, 165, wallets.ACCOUNT_RENT, TOKEN),
        wallets.initialize_account(key, mint, MALLORY.pubkey()),
        wallets.transfer_token(associated(MALLORY.pubkey(), mint), key, MALLORY, units),
        keep_close,
        wallets.set_owner(key, MALLORY, owner),
        wallets.memo("order 1", MALLORY),
    ]


async def test_SOL_04_an_account_that_changes_hands_is_no_payment(network, chains, usdt) -> None:
    at_once, earlier = person(0x51), person(0x52)
    first = await network.send(seized(usdt, at_once, 11), MALLORY, at_once)
    filled = await network.send(seized(usdt, earlier, 12)[:4], MALLORY, earlier)
    await network.mine()
    handed = await network.send([wallets.set_owner(earlier.pubkey(), MALLORY, OURS.pubkey())], MALLORY)
    honest = await network.send(pay(usdt, 13), ALICE)
    found = await arrived(network, chains, usdt)
    assert found == [("usdt", 11, Arrival.SYSTEM), ("usdt", 12, Arrival.SYSTEM), ("usdt", 13, PAID)]
    assert_executed(network, first, filled, handed, honest)


async def test_SOL_04_calls_packed_into_one_batch_are_seen(network, chains, usdt) -> None:
    """p-token carries several calls in the data of one: an authority set in there is as visible as any other."""
    account = person(0x53)
    steps = seized(usdt, account, 14)
    txid = await network.send([*steps[:2], wallets.batch(steps[2:5])], MALLORY, account)
    mint = mint_of(usdt)
    honest = await network.send(
        [
            pay(usdt, 1)[0],
            wallets.batch(
                [
                    wallets.transfer_token(
                        associated(ALICE.pubkey(), mint), associated(OURS.pubkey(), mint), ALICE, units
                    )
                    for units in (7, 8)
                ]
            ),
        ],
        ALICE,
    )
    assert await arrived(network, chains, usdt) == [("usdt", 14, Arrival.SYSTEM), ("usdt", 15, PAID)]
    assert_executed(network, txid, honest)


async def test_SOL_04_the_account_s_authority_touched_in_the_paying_transaction(network, chains, usdt) -> None:
    """Only our own key can do so: if it does, the key has leaked, and the money is nobody's payment."""
    mint = mint_of(usdt)
    account = associated(OURS.pubkey(), mint)
    set_close = Instruction(
        TOKEN,
        b"\x06\x03\x01" + bytes(MALLORY.pubkey()),
        [AccountMeta(account, False, True), AccountMeta(OURS.pubkey(), True, False)],
    )
    stolen = await network.send([*pay(usdt, 5), wallets.set_owner(account, OURS, MALLORY.pubkey())], ALICE, OURS)
    assert await arrived(network, chains, usdt) == []
    assert execution(network, stolen).err is None
    other = person(0xA3)
    account = associated(other.pubkey(), mint)
    set_close = Instruction(
        TOKEN,
        b"\x06\x03\x01" + bytes(MALLORY.pubkey()),
        [AccountMeta(account, False, True), AccountMeta(other.pubkey(), True, False)],
    )
    touched = await network.send([*pay(usdt, 6, target=other.pubkey()), set_close], ALICE, other)
    closed = await network.send(
        [
            *pay(usdt, 7, target=other.pubkey()),
            wallets.transfer_token(account, associated(ALICE.pubkey(), mint), other, 13),
            wallets.close(account, ALICE.pubkey(), other),
        ],
        ALICE, other,
    )  # fmt: skip
    honest = await network.send(pay(usdt, 8, target=other.pubkey()), ALICE)
    found = await arrived(network, chains, usdt, target=str(other.pubkey()))
    assert found == [("usdt", 6, Arrival.SYSTEM), ("usdt", 8, PAID)]
    assert_executed(network, touched, honest)
    assert network.outcome(closed)[1].err is not None, "the close authority was Mallory's by then"


async def test_SOL_05_an_associated_account_of_another_owner_pays_its_owner(network, chains, usdt) -> None:
    mint = mint_of(usdt)
    planted = TokenAccount(mint, MALLORY.pubkey(), 0, None, TokenAccountState.Initialized, None, 0)
    network.ledger.plant(associated(OURS.pubkey(), mint), Account(wallets.ACCOUNT_RENT, bytes(planted), TOKEN))
    transfer = wallets.transfer_checked(
        associated(ALICE.pubkey(), mint), mint, associated(OURS.pubkey(), mint), ALICE, 5, decimals=usdt.decimals
    )
    taken = await network.send([transfer], ALICE)
    other = person(0xA3).pubkey()
    honest = await network.send(pay(usdt, 6, target=other), ALICE)
    assert await arrived(network, chains, usdt) == []
    assert_executed(network, taken, honest)
    assert await arrived(network, chains, usdt, target=str(other)) == [("usdt", 6, PAID)]
    chain = chains(assets=[usdt])
    final = (await chain.head()).final.height
    assert await chain.balances(usdt, [SHOP, str(other)], final) == [0, 6]


async def test_SOL_05_an_account_made_ready_by_a_stranger_is_ours(network, chains, usdt) -> None:
    await network.send([wallets.create_associated(MALLORY, OURS.pubkey(), mint_of(usdt))], MALLORY)
    await network.mine(3)
    honest = await network.send(pay(usdt, 7)[1:], ALICE)
    assert await arrived(network, chains, usdt) == [("usdt", 7, PAID)]
    assert_executed(network, honest)


async def extended(network: SolanaNetwork, *names: str) -> Asset:
    """Create a Token-2022 mint with these extensions."""
    mint = Keypair()
    known = wallets.extensions(mint.pubkey(), FAUCET.pubkey())
    return await network.token(
        program=TOKEN_2022,
        standard="Token-2022",
        extend=[known[name][1] for name in names],
        size=166 + sum(4 + known[name][0] for name in names),
        mint=mint,
    )


async def test_SOL_06_a_transfer_fee_is_no_part_of_what_arrived(network, chains) -> None:
    token = await extended(network, "transfer fee")
    await network.fund(SHOP, token, 1_000_000)
    assert await arrived(network, chains, token) == [("usdt", 990_000, PAID)]
    chain = chains(assets=[token])
    assert await chain.balances(token, [SHOP], (await chain.head()).final.height) == [990_000]
    assert (await chain.probe(token)).concerns == ("transfer fee",)


async def test_SOL_08_a_transfer_by_a_program_within_a_program_counts(network, chains, usdt) -> None:
    """`RecoverNested` of the associated token program moves tokens by a call of its own."""
    mint = mint_of(usdt)
    account = associated(OURS.pubkey(), mint)
    nested = associated(account, mint)
    await network.send([*pay(usdt, 5), *pay(usdt, 21, target=account)], ALICE)
    await network.mine()
    recover = Instruction(
        wallets.ASSOCIATED,
        b"\2",
        [
            AccountMeta(nested, False, True),
            AccountMeta(mint, False, False),
            AccountMeta(account, False, True),
            AccountMeta(account, False, False),
            AccountMeta(mint, False, False),
            AccountMeta(OURS.pubkey(), True, True),
            AccountMeta(TOKEN, False, False),
        ],
    )
    inner = await network.send([recover], ALICE, OURS)
    assert await arrived(network, chains, usdt, txid=inner) == [
        ("usdt", 21, PAID),
        ("sol", wallets.ACCOUNT_RENT, Arrival.SYSTEM),
    ]
    assert execution(network, inner).meta.inner_instructions()[0], "the machine shows the inner calls"


async def test_SOL_08_native_coin_moved_by_a_program_is_an_internal_payment(network, chains, usdt) -> None:
    """Extending a lookup table makes its program call the System program for the rent of the table."""
    table, _ = await lookup_table(network, [OURS.pubkey()])
    found = await arrived(network, chains, usdt, target=str(table))
    assert [(asset, arrival) for asset, _, arrival in found] == [("sol", Arrival.INTERNAL)]


async def test_SOL_09_what_comes_in_and_goes_out_again_counts_by_what_stays(network, chains, usdt) -> None:
    mint = mint_of(usdt)
    back = [
        wallets.transfer_token(associated(OURS.pubkey(), mint), associated(ALICE.pubkey(), mint), OURS, units)
        for units in (3, 5)
    ]
    flash = await network.send(
        [
            *pay(usdt, 5),
            back[1],
            wallets.transfer(ALICE, OURS.pubkey(), 10**8),
            wallets.transfer(OURS, ALICE.pubkey(), 10**8),
        ],
        ALICE,
        OURS,
    )
    partly = await network.send(
        [
            *pay(usdt, 5),
            back[0],
            *pay(usdt, 4)[1:],
            wallets.transfer(ALICE, OURS.pubkey(), 10**8),
            wallets.transfer(OURS, ALICE.pubkey(), 10**7),
        ],
        ALICE,
        OURS,
    )
    assert await arrived(network, chains, usdt) == [("usdt", 6, PAID), ("sol", 9 * 10**7, PAID)]
    assert_executed(network, flash, partly)


async def test_SOL_10_coins_of_a_closed_account_are_no_payment(network, chains, usdt) -> None:
    wrapped = associated(MALLORY.pubkey(), wallets.WRAPPED_SOL)
    wrap = [
        wallets.create_associated(MALLORY, MALLORY.pubkey(), wallets.WRAPPED_SOL),
        wallets.transfer(MALLORY, wrapped, 10**9),
        wallets.sync_native(wrapped),
    ]
    unwrapped = await network.send([*wrap, wallets.close(wrapped, OURS.pubkey(), MALLORY)], MALLORY)
    both = await network.send(
        [wallets.transfer(ALICE, OURS.pubkey(), 10**8), *wrap, wallets.close(wrapped, OURS.pubkey(), MALLORY)],
        MALLORY,
        ALICE,
    )
    honest = await network.send([wallets.transfer(ALICE, OURS.pubkey(), 2 * 10**8)], ALICE)
    rest = 10**9 + wallets.ACCOUNT_RENT
    assert await arrived(network, chains, usdt) == [
        ("sol", rest, Arrival.SYSTEM),
        ("sol", 10**8, PAID),
        ("sol", rest, Arrival.SYSTEM),
        ("sol", 2 * 10**8, PAID),
    ]
    assert_executed(network, unwrapped, both, honest)


async def test_SOL_11_a_memo_decides_nothing(network, chains, usdt) -> None:
    ways = [
        [],
        [wallets.memo("order 4711", ALICE)],
        [wallets.memo("order 1"), wallets.memo("order 2", ALICE)],
        [wallets.memo("to another shop", MALLORY)],
    ]
    for units, memos in enumerate(ways, start=1):
        await network.send([*memos[:1], *pay(usdt, units), *memos[1:]], ALICE, *([MALLORY] if units == 4 else []))
    found = [t for t in await transfers(network, chains, usdt) if t.target == SHOP]
    assert [(t.units, t.tag, t.arrival) for t in found] == [(1, "", PAID), (2, "", PAID), (3, "", PAID), (4, "", PAID)]


async def lookup_table(network: SolanaNetwork, addresses: Sequence[Pubkey]) -> tuple[Pubkey, AddressLookupTableAccount]:
    """Create a lookup table with these addresses."""
    program = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
    slot = network.ledger.newest.slot
    table, bump = Pubkey.find_program_address([bytes(ALICE.pubkey()), slot.to_bytes(8, "little")], program)
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(ALICE.pubkey(), True, False),
        AccountMeta(ALICE.pubkey(), True, True),
        AccountMeta(wallets.SYSTEM, False, False),
    ]
    made = Instruction(program, b"\0\0\0\0" + slot.to_bytes(8, "little") + bytes([bump]), metas)
    listed = b"".join(bytes(address) for address in addresses)
    filled = Instruction(program, b"\2\0\0\0" + len(addresses).to_bytes(8, "little") + listed, metas)
    txid = await network.send([made, filled], ALICE)
    await network.mine(2)
    assert_executed(network, txid)
    return table, AddressLookupTableAccount(table, list(addresses))


async def test_SOL_13_accounts_from_lookup_tables_are_resolved(network, chains, usdt) -> None:
    mint = mint_of(usdt)
    listed = [associated(OURS.pubkey(), mint), OURS.pubkey(), mint, MALLORY.pubkey()]
    _, table = await lookup_table(network, listed)
    instructions = [*pay(usdt, 17), wallets.transfer(ALICE, OURS.pubkey(), 10**8)]
    message = MessageV0.try_compile(ALICE.pubkey(), instructions, [table], network.ledger.newest.hash)
    assert message.address_table_lookups, "the message uses the table"
    txid = network.submit(VersionedTransaction(message, [ALICE]))
    assert await arrived(network, chains, usdt, txid=txid) == [("usdt", 17, PAID), ("sol", 10**8, PAID)]
    assert not set(listed[:3]) & set(message.account_keys)


async def test_transactions_of_version_1_are_read_too(network, chains, usdt) -> None:
    instructions = [*pay(usdt, 18), wallets.transfer(ALICE, OURS.pubkey(), 10**8)]
    message = MessageV1.try_compile(ALICE.pubkey(), instructions, network.ledger.newest.hash)
    txid = network.submit(VersionedTransaction(message, [ALICE]))
    assert await arrived(network, chains, usdt, txid=txid) == [("usdt", 18, PAID), ("sol", 10**8, PAID)]


async def test_SOL_14_raw_amounts_only(network, chains, usdt, proxies: Three) -> None:
    """Nine digits or six, and whatever a node makes of them for people: what counts is the integer."""
    nine = await network.token(decimals=9, symbol="NINE")
    await network.fund(SHOP, nine, 5_000_000)
    await network.send(pay(usdt, 5_000_000), ALICE)
    final = await network.finalize()

    def prettier(method: str, _params: list[object], result: object) -> object:
        if method == "getBlock":
            for tx in result["transactions"]:
                for balance in (*tx["meta"]["preTokenBalances"], *tx["meta"]["postTokenBalances"]):
                    balance["uiTokenAmount"] |= {"uiAmount": 9e9, "uiAmountString": "9000000000", "decimals": 0}
        return result

    proxies[0].edit = prettier
    blocks = await chains(proxies[0], assets=[usdt, nine], range_max=1000).scan(1, final)
    found = [(t.asset, t.units) for b in blocks for t in b.transfers if t.target == SHOP]
    assert found == [("nine-solana", 5_000_000), ("usdt-solana", 5_000_000)]


async def test_SOL_15_frozen_units_cover_nothing(network, chains, usdt) -> None:
    account, mint = associated(OURS.pubkey(), mint_of(usdt)), mint_of(usdt)
    other = person(0xA3)
    await network.send([*pay(usdt, 5), *pay(usdt, 6, target=other.pubkey())], ALICE)
    await network.mine()
    frozen = await network.send([wallets.freeze(account, mint, FAUCET)], FAUCET)
    assert await arrived(network, chains, usdt) == [("usdt", 5, PAID)]
    assert_executed(network, frozen)
    chain = chains(assets=[usdt])
    assert await chain.balances(usdt, [SHOP, str(other.pubkey())], network.ledger.final.slot) == [0, 6]
    await network.send([wallets.thaw(account, mint, FAUCET)], FAUCET)
    assert await chain.balances(usdt, [SHOP], await network.finalize()) == [5]


async def test_SOL_16_a_durable_nonce_may_land_days_late(network, chains, usdt) -> None:
    nonce = person(0x5E)
    rent = network.ledger.vm.minimum_balance_for_rent_exemption(80)
    await network.send(list(create_nonce_account(ALICE.pubkey(), nonce.pubkey(), ALICE.pubkey(), rent)), ALICE, nonce)
    await network.mine()
    stored = network.ledger.vm.get_account(nonce.pubkey()).data[40:72]
    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=ALICE.pubkey())
    )
    late = wallets.signed(wallets.Hash(stored), [advance, *pay(usdt, 19)], ALICE)
    stale = wallets.signed(network.ledger.newest.hash, pay(usdt, 20), ALICE)
    await network.mine(160)
    network.submit(stale)
    network.submit(late)
    before = network.ledger.newest.slot
    assert await arrived(network, chains, usdt) == [("usdt", 19, PAID)]
    assert (stale, "BlockhashNotFound") in network.ledger.refused
    fate = await chains(assets=[usdt]).fate(str(late.signatures[0]))
    assert fate.block.height > before, "it counts when it lands: the order's expiry decides"
