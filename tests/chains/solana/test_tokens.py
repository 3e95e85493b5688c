"""Mints as the real token programs make them, and what is held against their registry rows."""

from dataclasses import replace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from tests.chains.solana import wallets
from tests.chains.solana.ledger import FAUCET
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.wallets import TOKEN, TOKEN_2022, person

from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.token import objections
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.deposits.assets.examining import examine
from bitlinkpay.deposits.assets.model import ReviewState, accept, judge

DANGEROUS = [name for name in wallets.extensions(Pubkey.default(), Pubkey.default()) if name != "metadata pointer"]


async def mint_with(network: SolanaNetwork, *names: str) -> Asset:
    """Create a bare Token-2022 mint with these extensions and return its row."""
    mint = Keypair()
    known = wallets.extensions(mint.pubkey(), FAUCET.pubkey())
    size = 82 if not names else 166 + sum(4 + known[name][0] for name in names)
    rent = network.ledger.vm.minimum_balance_for_rent_exemption(size)
    made = [
        wallets.create(FAUCET, mint.pubkey(), size, rent, TOKEN_2022),
        *(known[name][1] for name in names),
        wallets.initialize_mint(mint.pubkey(), 6, FAUCET.pubkey(), TOKEN_2022),
    ]
    txid = await network.send(made, FAUCET, mint)
    await network.finalize()
    done = network.outcome(txid)[1]
    assert done.err is None, done.meta.logs()
    return replace(await network.token(), contract=str(mint.pubkey()), standard="Token-2022")


@pytest.mark.parametrize("name", DANGEROUS)
async def test_SOL_07_a_mint_that_can_do_harm_is_held_until_a_person_has_accepted_it(
    network, chains, name: str
) -> None:
    token = await mint_with(network, name, "metadata pointer")
    facts = await chains(assets=[token]).probe(token)
    assert facts.concerns == (name,)
    (objection,) = objections(token, facts)
    assert name in objection
    first = judge(token, None, facts)
    assert first.after.state is ReviewState.HELD
    accepted = accept(token, first.after).after
    assert accepted.state is ReviewState.ACCEPTED, "a person may list it by hand"
    assert judge(token, accepted, facts) is None
    more = replace(facts, concerns=(*facts.concerns, "permanent delegation"))
    assert judge(token, accepted, more).after.state is ReviewState.HELD


@pytest.mark.parametrize("names", [(), ("metadata pointer",)])
async def test_SOL_07_a_plain_mint_of_the_newer_program_is_no_concern(network, chains, names) -> None:
    token = await mint_with(network, *names)
    facts = await chains(assets=[token]).probe(token)
    assert (facts.concerns, facts.decimals, facts.is_paused) == ((), 6, False)
    assert objections(token, facts) == ()
    assert judge(token, None, facts).after.state is ReviewState.ACCEPTED


async def test_a_paused_mint_is_objected_to(network, chains) -> None:
    token = await mint_with(network, "pausable")
    chain = chains(assets=[token])
    before = await chain.probe(token)
    await network.send([wallets.pause(Pubkey.from_string(token.contract), FAUCET)], FAUCET)
    await network.finalize()
    after = await chain.probe(token)
    assert (before.is_paused, after.is_paused) == (False, True)
    assert any("paused" in text for text in objections(token, after, before))


async def test_other_decimals_no_mint_and_new_authorities_are_objected_to(network, chains) -> None:
    token = await network.token(decimals=9)
    await network.finalize()
    chain = chains(assets=[token])
    facts = await chain.probe(token)
    assert objections(token, facts) == ()
    assert "9 decimals" in objections(replace(token, decimals=6), facts)[0]
    for nothing in (
        str(person(1).pubkey()),
        str(FAUCET.pubkey()),
        str(TOKEN),
        str(wallets.associated(FAUCET.pubkey(), Pubkey.from_string(token.contract))),
    ):
        gone = replace(token, contract=nothing)
        assert "no contract" in objections(gone, await chains(assets=[gone]).probe(gone))[0]
    mint = Pubkey.from_string(token.contract)
    data = b"\x06\x00\x01" + bytes(person(7).pubkey())
    metas = [AccountMeta(mint, False, True), AccountMeta(FAUCET.pubkey(), True, False)]
    await network.send([Instruction(TOKEN, data, metas)], FAUCET)
    await network.finalize()
    assert "has changed" in objections(token, await chain.probe(token), facts)[0]


def test_a_standard_that_solana_does_not_have_is_refused() -> None:
    wrong = replace(coin(), id="usdt-solana", contract=str(TOKEN), standard="ERC20")
    with pytest.raises(Invalid, match="SPL, Token-2022"):
        SolanaChain(SolanaNetwork().row(), [coin(), wrong], [Endpoint("http://127.0.0.1:1")], quorum=1)


async def test_a_row_of_the_wrong_program_or_with_a_harmful_mint_is_refused_when_it_is_checked(network, chains) -> None:
    harmful = await mint_with(network, "permanent delegate")
    misnamed = replace(harmful, id="misnamed-solana", standard="SPL")
    chain = chains(assets=[harmful])
    assert "permanent delegate" in (await examine(chain, chain, harmful, None)).faults[0]
    faults = (await examine(chain, chain, misnamed, None)).faults
    assert "write the `standard` of that program" in faults[0]
    plain = await network.token()
    await network.finalize()
    found = await examine(chain, chain, plain, None)
    assert (found.faults, len(found.notes)) == ((), 1)
