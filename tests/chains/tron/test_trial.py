"""A TRC-20 token's transfer, tried before its row is believed: what its contract answers, by a constant call."""

from tests.chains.tron.network import TronContract, TronNet
from tests.chains.tron.rows import token
from tests.chains.tron.wallets import Payer

from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.trial import Answered, TokenTrier, Trial, try_transfers
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.core.assets import Asset

BOB, EVE = Payer.named("bob"), Payer.named("eve")
TRANSFER = "transfer(address,uint256)"
UNSEEN = "what arrives of a transfer is not shown by this network's nodes"


async def found(chain: TronChain, asset: Asset) -> Findings:
    assert isinstance(chain, TokenTrier)
    return await try_transfers(chain, chain, asset)


async def moved(net: TronNet, name: str) -> tuple[TronContract, Asset]:
    contract = await net.deploy(name)
    contract.send(TRANSFER, BOB.address, 5_000_000)
    await net.finalize()
    return contract, token(contract.address)


async def test_a_token_like_usdt_is_fit_and_nothing_is_sent(net, chains, usdt, usdt_row) -> None:
    usdt.send(TRANSFER, BOB.address, 5_000_000)
    await net.finalize()
    said = await found(chains(*net.servers, assets=[usdt_row], quorum=2), usdt_row)
    assert said.faults == ()
    assert UNSEEN in said.notes
    assert "2 of 2 transfers went through when tried" in said.notes
    assert not any("broadcast" in path for server in net.servers for path, _ in server.requests)


async def test_a_paused_token_and_one_with_a_fee_are_told(net, chains) -> None:
    usdt, asset = await moved(net, "DollarToken")
    chain = chains(assets=[asset])
    usdt.send("setFee(uint256)", 10)
    await net.finalize()
    assert (await found(chain, asset)).faults == ("it takes a fee of every transfer (basisPointsRate)",)
    usdt.send("setPaused(bool)", True)
    await net.finalize()
    assert any("its transfers fail" in fault for fault in (await found(chain, asset)).faults)


async def test_what_transfer_answers_decides(net, chains) -> None:
    contract, asset = await moved(net, "AnsweringToken")
    chain = chains(assets=[asset])
    for answer, means in ((1, Answered.TRUE), (0, Answered.FALSE), (2, Answered.ODD), (3, Answered.NOTHING)):
        contract.send("setAnswer(uint256)", answer)
        await net.finalize()
        await chain.head()
        assert await chain.try_transfer(asset, BOB.address, 7) == Trial(7, answered=means)
    assert (await chain.try_transfer(asset, EVE.address, 7)).failure


async def test_EVM_07_a_token_that_keeps_shares_is_refused_on_tron_too(net, chains) -> None:
    _, asset = await moved(net, "RebasingToken")
    (fault,) = (await found(chains(assets=[asset]), asset)).faults
    assert "keeps shares in place of balances" in fault
