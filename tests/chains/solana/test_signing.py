"""The signer on Solana: it builds the bytes itself, and a plan that would do anything else than its intent is refused."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction
from tests.chains.solana.network import SolanaNetwork, coin
from tests.chains.solana.treasury import HOT, VAULT, Treasury, wallet
from tests.chains.solana.wallets import TOKEN_2022, person

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Slot
from bitlinkpay.chains.solana.plan import SolanaPlan, build
from bitlinkpay.core.assets import Asset
from bitlinkpay.signer.families.solana import sign
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet, PlanMismatch

BOB = str(person(0xB0).pubkey())
MALLORY = str(person(0xE7).pubkey())
ORDER = wallet(3, KeyRole.DEPOSIT)


class Ready:
    """A payout and a sweep, each with a plan that fits."""

    def __init__(self, treasury: Treasury, usdt: Asset, payout: SolanaPlan, sweep: SolanaPlan) -> None:
        self.treasury, self.usdt = treasury, usdt
        self.payout, self.sweep = payout, sweep
        self.paying = treasury.payout(usdt, (BOB, 5), (BOB, 6))
        self.sweeping = treasury.sweep(usdt, (ORDER, 40))

    def sign(self, intent: Intent, plan: SolanaPlan) -> VersionedTransaction:
        return VersionedTransaction.from_bytes(sign(intent, plan, self.treasury.keys).raw)


@pytest.fixture
async def ready(network: SolanaNetwork, chains) -> Ready:
    usdt = await network.token()
    await network.fund(ORDER.address, usdt, 40)
    treasury = await Treasury.on(network, chains(assets=[usdt]), usdt)
    payout = await treasury.sender.plan(treasury.payout(usdt, (BOB, 5), (BOB, 6)), Slot(1))
    sweep = await treasury.sender.plan(treasury.sweep(usdt, (ORDER, 40)), Slot(2))
    return Ready(treasury, usdt, payout, sweep)


async def test_every_signer_signs_exactly_what_was_built(ready: Ready) -> None:
    for intent, plan, signers in (
        (ready.paying, ready.payout, [HOT]),
        (ready.sweeping, ready.sweep, [HOT, ORDER]),
    ):
        signed = sign(intent, plan, ready.treasury.keys)
        theirs = VersionedTransaction.from_bytes(signed.raw)
        assert all(theirs.verify_with_results())
        assert str(theirs.signatures[0]) == signed.txid
        message = build(intent, plan, ready.usdt)
        assert bytes(theirs.message) == message.raw
        assert list(message.signers) == [signer.address for signer in signers]
        expected = [
            Keypair.from_seed(VAULT.private_key(ready.treasury.chain.network, signer)).sign_message(message.raw)
            for signer in signers
        ]
        assert theirs.signatures == expected, "Ed25519 as in the reference"
        assert sign(intent, plan, ready.treasury.keys) == signed, "the same question has the same answer"


PLANS = {
    "dearer than the intent allows": {"price_micro": 10**11},
    "rent that the intent does not allow": {"rent_units": 10**8},
    "no compute at all": {"compute_units": 0},
    "more compute than a block takes": {"compute_units": 1_400_001},
    "a negative offer": {"price_micro": -1},
    "negative rent": {"rent_units": -1},
    "for fewer payments": {"creates": (True,), "closes": (False,)},
    "uneven": {"creates": (True, False, False)},
    "closes what pays": {"closes": (True, False)},
}


@pytest.mark.parametrize("name", PLANS)
async def test_a_plan_that_does_not_fit_is_not_signed(ready: Ready, name: str) -> None:
    ready.sign(ready.paying, ready.payout)
    with pytest.raises(PlanMismatch):
        ready.sign(ready.paying, replace(ready.payout, **PLANS[name]))


async def test_an_intent_that_is_no_payment_of_ours_is_not_signed(ready: Ready) -> None:
    usdt = ready.usdt.id
    first, second = ready.paying.payments
    other = replace(first, source=wallet(1))
    wrong = {
        "another network": replace(ready.paying, network="tron"),
        "another wallet's money": replace(ready.paying, payments=(other, second)),
        "a memo": replace(ready.paying, payments=(replace(first, tag="1"), second)),
        "two assets": replace(ready.paying, payments=(replace(first, asset=coin().id), second)),
        "nothing": replace(ready.paying, payments=()),
        "a set-up": replace(ready.paying, purpose=Purpose.SETUP),
        "a cancellation": replace(ready.paying, purpose=Purpose.CANCEL),
        "a sweep of the hot wallet": replace(ready.paying, purpose=Purpose.SWEEP),
        "too many": replace(
            ready.paying, payments=tuple(Payment(HOT, usdt, str(person(n).pubkey()), "", 5) for n in range(30))
        ),
    }
    for intent in wrong.values():
        plan = ready.payout
        if len(intent.payments) == 30:
            plan = replace(plan, creates=(False,) * 30, closes=(False,) * 30)
        with pytest.raises(PlanMismatch):
            ready.sign(intent, plan)


async def test_a_sweep_leads_to_the_paying_wallet_only(ready: Ready) -> None:
    (swept,) = ready.sweeping.payments
    ready.sign(ready.sweeping, ready.sweep)
    for payments in (
        (replace(swept, target=MALLORY),),
        (replace(swept, source=wallet(1)),),
        (swept, swept),
    ):
        plan = replace(ready.sweep, creates=(False,) * len(payments), closes=(True,) * len(payments))
        with pytest.raises(PlanMismatch):
            ready.sign(replace(ready.sweeping, payments=payments), plan)


async def test_keys_and_assets_that_are_not_ours_are_refused(ready: Ready) -> None:
    stranger = replace(HOT, address=MALLORY)
    for payer in (stranger, replace(HOT, index=1), replace(HOT, index=10**6)):
        payments = tuple(replace(payment, source=payer) for payment in ready.paying.payments)
        with pytest.raises(ForeignWallet):
            ready.sign(replace(ready.paying, payer=payer, payments=payments), ready.payout)
    payments = tuple(replace(payment, asset="usdc-solana") for payment in ready.paying.payments)
    with pytest.raises(ForeignAsset):
        ready.sign(replace(ready.paying, payments=payments), ready.payout)


async def test_native_coin_has_no_token_accounts(ready: Ready) -> None:
    intent = ready.treasury.payout(coin(), (BOB, 10**7))
    plan = await ready.treasury.sender.plan(intent, Slot(1))
    ready.sign(intent, plan)
    for change in ({"creates": (True,)}, {"closes": (True,)}):
        with pytest.raises(PlanMismatch):
            ready.sign(intent, replace(plan, **change))


async def test_a_newer_token_is_always_moved_with_its_mint_named(network: SolanaNetwork, chains) -> None:
    """Such a mint may take a fee, and then the program refuses a transfer that says nothing about it."""
    newer = await network.token(program=TOKEN_2022, standard="Token-2022")
    treasury = await Treasury.on(network, chains(assets=[newer]), newer)
    intent = treasury.payout(newer, (BOB, 5))
    plan, _, outcome = await treasury.carry_out(intent)
    assert (plan.is_checked, outcome.delivered) == (True, (True,))
    assert await network.balance(newer, BOB) == 5
    with pytest.raises(PlanMismatch):
        sign(intent, replace(plan, is_checked=False), treasury.keys)
