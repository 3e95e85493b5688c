"""The numbered cases of TRON, each beside a genuine payment that must be seen (THREATS TRX-01 to TRX-09, TRX-12 to 16)."""

import pytest
from tests.chains.tron.ledger import Account
from tests.chains.tron.network import TronContract, TronNet
from tests.chains.tron.rows import coin, network, token
from tests.chains.tron.vm import Inner
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import Arrival, ChainError, FateState, GapError, Transfer
from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid

BOB, EVE = Payer.named("bob"), Payer.named("eve")
TRANSFER = "transfer(address,uint256)"


async def seen(chain: TronChain, net: TronNet, target: Payer = BOB) -> list[Transfer]:
    """Every transfer to someone in the whole chain so far."""
    found, height = [], 1
    while height <= net.height:
        blocks = await chain.scan(height, net.height)
        found += [t for block in blocks for t in block.transfers if t.target == target.address]
        height += len(blocks)
    return found


def amounts(transfers: list[Transfer]) -> list[tuple[str, int]]:
    return [(t.asset, t.units) for t in transfers]


async def test_TRX_01_a_call_that_ran_out_of_energy_or_was_reverted_pays_nothing(net, chains, usdt, usdt_row) -> None:
    net.pay(EVE.address, 10**8)
    await net.mine()
    starved = usdt.send(TRANSFER, BOB.address, 5, fee_limit=100_000)
    reverted = usdt.send(TRANSFER, BOB.address, 6, payer=EVE)
    genuine = usdt.send(TRANSFER, BOB.address, 7)
    await net.finalize()
    assert [net.outcome(txid).ended for txid in (starved, reverted, genuine)] == ["OUT_OF_ENERGY", "REVERT", "SUCCESS"]
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    assert amounts(await seen(chain, net)) == [("usdt-tron", 7)]
    await chain.head()
    assert [(await chain.fate(txid)).state for txid in (starved, reverted, genuine)] == [
        FateState.FAILED, FateState.FAILED, FateState.FINAL,
    ]  # fmt: skip
    assert (await chain.fate(reverted)).transfers == ()


async def test_TRX_02_a_block_whose_outcomes_are_not_there_yet_is_a_gap_and_is_read_again(
    net, chains, usdt, usdt_row
) -> None:
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    chain = chains(assets=[usdt_row])

    def before(path: str, _body: object, answer: object) -> object:
        return [] if path.endswith("infobyblocknum") else answer

    def undecided(path: str, _body: object, answer: object) -> object:
        return [{**info, "receipt": {}, "log": []} for info in answer] if path.endswith("infobyblocknum") else answer

    for lie in (before, undecided):
        net.servers[0].edit = lie
        with pytest.raises(GapError):
            await chain.scan(net.height, net.height)
    net.servers[0].edit = None
    assert amounts(await seen(chain, net)) == [("usdt-tron", 7)]


async def test_TRX_02_what_is_final_is_asked_of_the_solidified_state_alone(net, chains, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, BOB.address, 7)
    await net.finalize()
    chain = chains(assets=[usdt_row])
    final = (await chain.head()).final
    net.servers[0].requests.clear()
    (block,) = await chain.scan(final.height, final.height)
    assert await chain.balances(usdt_row, [BOB.address], final.height) == [7]
    assert await chain.balances(coin(), [BOB.address], final.height) == [0]
    assert block.hash == final.hash
    assert {path.split("/")[1] for path, _ in net.servers[0].requests} == {"walletsolidity"}


async def test_TRX_03_a_trc10_token_of_the_same_name_is_nothing(net, chains, usdt, usdt_row) -> None:
    net.grant(lambda state: state.accounts[net.faucet.account].tokens.update({b"USDT": 10**9}))
    net.act(net.faucet, "TransferAssetContract", asset_name=b"USDT", to_address=BOB.owner, amount=10**6)
    await net.mine()
    chain = chains(assets=[usdt_row])
    assert await seen(chain, net) == []
    usdt.send(TRANSFER, BOB.address, 10**6)
    await net.mine()
    assert amounts(await seen(chain, net)) == [("usdt-tron", 10**6)]


async def test_TRX_03_trc10_carried_by_an_inner_call_is_no_coin(net, chains) -> None:
    sender = await net.deploy("InnerSender")
    txid = sender.send("send(address,uint256)", BOB.address, 5, value=5)
    await net.mine()

    def renamed(path: str, _body: object, answer: object) -> object:
        for info in answer if path.endswith("infobyblocknum") else ():
            for inner in info.get("internal_transactions", ()):
                inner["callValueInfo"] = [{"callValue": 5, "tokenId": "1002000"}, {"callValue": 2}]
        return answer

    net.servers[0].edit = renamed
    assert [(t.txid, t.units) for t in await seen(chains(), net)] == [(txid, 2)]


async def test_TRX_04_a_clone_of_the_token_is_nothing(net, chains, usdt, usdt_row) -> None:
    clone = await net.token()
    clone.send(TRANSFER, BOB.address, 5)
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    assert amounts(await seen(chains(assets=[usdt_row]), net)) == [("usdt-tron", 7)]


async def test_TRX_05_an_inner_payment_that_was_undone_never_counts(net, chains) -> None:
    sender = await net.deploy("InnerSender")
    undone = sender.send("sendUndone(address,uint256)", BOB.address, 5, value=5)
    half = sender.send("sendHalfUndone(address,uint256,uint256)", BOB.address, 7, 3, value=10)
    whole = sender.send("send(address,uint256)", BOB.address, 11, value=11)
    await net.mine()
    assert [inner.rejected for inner in net.outcome(undone).inner] == [True, True]
    found = await seen(chains(*net.servers, quorum=2), net)
    assert [(t.txid, t.position, t.units, t.arrival) for t in found] == [
        (half, "internal:0", 7, Arrival.INTERNAL),
        (whole, "internal:0", 11, Arrival.INTERNAL),
    ]
    assert sum(t.units for t in found) == await net.balance(coin(), BOB.address)


async def test_TRX_05_what_an_inner_call_claims_beyond_the_balance_is_not_covered(net, chains) -> None:
    sender = await net.deploy("InnerSender")
    sender.send("sendUndone(address,uint256)", BOB.address, 5, value=5)
    await net.mine()

    def accepted(path: str, _body: object, answer: object) -> object:
        for info in answer if path.endswith("infobyblocknum") else ():
            for inner in info.get("internal_transactions", ()):
                inner.pop("rejected", None)
        return answer

    for server in net.servers:
        server.edit = accepted
    chain = chains(*net.servers, quorum=2)
    assert [t.units for t in await seen(chain, net)] == [5], "nodes that lie together about an inner call are believed"
    assert await chain.balances(coin(), [BOB.address], net.height) != [5], "but the balance shows that it did not come"


async def test_TRX_06_logs_of_a_failed_transaction_are_ignored(net, chains, usdt, usdt_row) -> None:
    failed = usdt.send(TRANSFER, BOB.address, 5, fee_limit=100_000)
    genuine = usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    raw = next(info for info in _infos(net) if info["id"] == genuine)["log"]

    def logged(path: str, _body: object, answer: object) -> object:
        return [{**info, "log": raw} for info in answer] if path.endswith("infobyblocknum") else answer

    for server in net.servers:
        server.edit = logged
    found = await seen(chains(*net.servers, assets=[usdt_row], quorum=3), net)
    assert [(t.txid, t.units) for t in found if t.txid in {failed, genuine}] == [(genuine, 7)]


def _infos(net: TronNet) -> list[dict[str, object]]:
    return net.servers[0]._answer("wallet", "gettransactioninfobyblocknum", {"num": net.height, "visible": False})


async def test_TRX_06_block_and_receipt_that_contradict_each_other_are_refused(net, chains, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, BOB.address, 5, fee_limit=100_000)
    await net.mine()

    def claimed(path: str, _body: object, answer: object) -> object:
        return (
            [{**info, "receipt": {"result": "SUCCESS"}} for info in answer]
            if path.endswith("infobyblocknum")
            else answer
        )

    for server in net.servers:
        server.edit = claimed
    with pytest.raises(ChainError, match="disagree"):
        await chains(*net.servers, assets=[usdt_row], quorum=2).scan(net.height, net.height)


async def test_TRX_07_while_witnesses_are_missing_nothing_becomes_final(net, chains, usdt, usdt_row) -> None:
    chain = chains(*net.servers, assets=[usdt_row], quorum=2)
    net.solid_at = 0
    txid = usdt.send(TRANSFER, BOB.address, 7)
    await net.mine(200)
    head = await chain.head()
    assert (head.final.height, head.latest.height) == (0, net.height)
    assert (await chain.fate(txid)).state is FateState.MINED
    net.solid_at = None
    await net.mine()
    assert (await chain.head()).final.height == net.height - 18
    assert (await chain.fate(txid)).state is FateState.FINAL


async def test_TRX_08_a_memo_means_nothing(net, chains) -> None:
    txid = net.pay(BOB.address, 5, memo=b"12345678")
    await net.mine()
    assert [(t.txid, t.tag, t.units) for t in await seen(chains(), net)] == [(txid, "", 5)]


@pytest.mark.parametrize(
    "text",
    [
        "41a614f803b6fd780986a42c78ec9c7f77e6ded13c",  # hex carries no checksum
        "a614f803b6fd780986a42c78ec9c7f77e6ded13c",
        "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c",
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6T",  # one letter off
        "tR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t ",
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",  # Bitcoin
    ],
)
def test_TRX_09_other_forms_and_wrong_checksums_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_address(network(), text)
    assert parse_address(network(), "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t") == "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"


async def test_TRX_09_fields_logs_and_text_name_one_address(net, chains, usdt, usdt_row) -> None:
    net.pay(BOB.address, 5)
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    found = await seen(chains(assets=[usdt_row]), net)
    assert {t.target for t in found} == {BOB.address}
    assert {t.source for t in found} == {net.faucet.address}
    assert to_bytes(BOB.address) == BOB.owner


async def test_TRX_12_a_pull_by_a_third_party_is_seen_with_the_owner_as_its_source(net, chains, usdt, usdt_row) -> None:
    relayer = await net.deploy("Relayer")
    net.pay(EVE.address, 10**9)
    usdt.send(TRANSFER, EVE.address, 100)
    await net.mine()
    usdt.send("approve(address,uint256)", relayer.address, 40, payer=EVE)
    await net.mine()
    txid = relayer.send("pull(address,address,address,uint256)", usdt.address, EVE.address, BOB.address, 40)
    await net.mine()
    assert [(t.txid, t.source, t.units) for t in await seen(chains(assets=[usdt_row]), net)] == [
        (txid, EVE.address, 40)
    ]


async def test_TRX_13_nothing_is_nothing_and_dust_is_what_it_is(net, chains, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, BOB.address, 0)
    net.pay(BOB.address, 1)
    usdt.send(TRANSFER, BOB.address, 1)
    await net.mine()
    assert amounts(await seen(chains(assets=[usdt_row]), net)) == [("trx-tron", 1), ("usdt-tron", 1)]


@pytest.mark.parametrize("trouble", ["429", "503", "403", "no events", "no block", "error"])
async def test_TRX_14_an_endpoint_in_trouble_is_a_gap_that_heals_and_never_an_empty_block(
    net, chains, usdt, usdt_row, trouble: str
) -> None:
    usdt.send(TRANSFER, BOB.address, 7)
    await net.mine()
    chain, server = chains(assets=[usdt_row]), net.servers[0]
    await chain.head()

    def empty(path: str, _body: object, answer: object) -> object:
        wanted = {"no events": "infobyblocknum", "no block": "getblockbynum", "error": "infobyblocknum"}[trouble]
        if not path.endswith(wanted):
            return answer
        return {"no events": [], "no block": {}, "error": {"Error": "class java.lang.NullPointerException : null"}}[
            trouble
        ]

    if trouble.isdigit():
        server.status, server.body = int(trouble), "suspended for 1 s"
    else:
        server.edit = empty
    with pytest.raises(ChainError):
        await chain.scan(net.height, net.height)
    server.status, server.edit = 200, None
    for http in chain.access.nodes[0]._identified:
        http.breaker.succeeded()
    assert amounts(await seen(chain, net)) == [("usdt-tron", 7)]


async def test_TRX_15_left_out_zeros_and_the_edges_of_64_bits(net, chains, usdt, usdt_row) -> None:
    chain = chains(assets=[usdt_row])
    assert await chain.balances(coin(), [BOB.address], net.height) == [0], "no such account"
    net.pay(BOB.address, 5)
    await net.mine()
    server = net.servers[0]

    def balance(value: object):
        def edit(path: str, _body: object, answer: object) -> object:
            if not path.endswith("getaccount"):
                return answer
            kept = {name: item for name, item in answer.items() if name != "balance"}
            return kept if value is None else {**kept, "balance": value}

        return edit

    for value, wanted in ((None, 0), (0, 0), (2**63 - 1, 2**63 - 1)):
        server.edit = balance(value)
        assert await chain.balances(coin(), [BOB.address], net.height) == [wanted]
    for wrong in (2**63, -1, "5", 5.5, True, [5]):
        server.edit = balance(wrong)
        chain.access.nodes[0]._https["/wallet"].breaker.succeeded()
        with pytest.raises(ChainError, match="another form"):
            await chain.balances(coin(), [BOB.address], net.height)


async def test_TRX_15_the_largest_payment_of_each_kind_is_read_to_the_unit(net, chains, usdt) -> None:
    huge = await net.deploy("PlainToken", ["string", "string", "uint8"], ["Huge", "HUGE", 18])
    huge.send(TRANSFER, BOB.address, 10**30)
    net.pay(BOB.address, 10**16)
    await net.mine()
    row = token(huge.address, symbol="HUGE", decimals=18)
    assert amounts(await seen(chains(assets=[row]), net)) == [("huge-tron", 10**30), ("trx-tron", 10**16)]


async def test_TRX_16_stakes_loans_votes_and_rewards_are_no_deposits(net, chains) -> None:
    net.pay(BOB.address, 10**9)
    net.grant(lambda state: setattr(state.accounts[net.faucet.account], "reward", 500))
    await net.mine()
    net.grant(lambda state: setattr(state.accounts.setdefault(BOB.account, Account()), "reward", 77))
    net.act(BOB, "FreezeBalanceV2Contract", frozen_balance=10**6, resource=1)
    net.act(net.faucet, "DelegateResourceContract", resource=1, balance=10**7, receiver_address=BOB.owner)
    net.act(BOB, "VoteWitnessContract")
    await net.mine()
    net.act(BOB, "UnfreezeBalanceV2Contract", unfreeze_balance=10**6, resource=1)
    net.act(BOB, "WithdrawBalanceContract")
    net.act(net.faucet, "UnDelegateResourceContract", resource=1, balance=10**7, receiver_address=BOB.owner)
    await net.mine()
    assert len(net.blocks[-1].transactions) == 3
    assert len(net.blocks[-2].transactions) == 3
    assert amounts(await seen(chains(), net)) == [("trx-tron", 10**9)]


@pytest.mark.parametrize(
    "note", ["delegateResourceOfEnergy", "unDelegateResourceOfEnergy", "freezeForEnergy", "voteWitness"]
)
async def test_TRX_16_a_contract_that_lends_its_stake_to_us_shows_an_amount_and_pays_nothing(
    net, chains, note: str
) -> None:
    sender = await net.deploy("InnerSender")
    lent = sender.send("send(address,uint256)", EVE.address, 1, value=1)
    claim = Inner(sender.account, BOB.account, 10**9, note)
    real = Inner(sender.account, BOB.account, 3, "call")
    for state in (net.head, net.solid):
        state.rewrite[bytes.fromhex(lent)] = [claim, real]
    await net.mine()
    assert [(t.position, t.units) for t in await seen(chains(), net)] == [("internal:0", 3)]


async def test_DEP_19_a_bequest_is_money_without_a_payer(net: TronNet, chains) -> None:
    bequest: TronContract = await net.deploy("Bequest", value=9)
    bequest.send("leaveTo(address)", BOB.address)
    await net.mine()
    assert [(t.units, t.arrival) for t in await seen(chains(), net)] == [(9, Arrival.SYSTEM)]


async def test_every_leg_of_a_multisend_has_its_own_place(net, chains, usdt, usdt_row: Asset) -> None:
    disperse = await net.deploy("Disperse")
    usdt.send("approve(address,uint256)", disperse.address, 100)
    await net.mine()
    paid = disperse.send(
        "payToken(address,address[],uint256[])", usdt.address, [BOB.address, EVE.address, BOB.address], [1, 2, 3]
    )
    coins = disperse.send(
        "payNative(address[],uint256[])", [BOB.address, EVE.address, BOB.address], [4, 5, 6], value=15
    )
    await net.mine()
    found = await seen(chains(assets=[usdt_row]), net)
    assert [(t.txid, t.position, t.units) for t in found] == [
        (paid, "log:0", 1), (paid, "log:2", 3), (coins, "internal:0", 4), (coins, "internal:2", 6),
    ]  # fmt: skip
