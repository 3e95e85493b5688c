"""Wallets of ours on the regression-test chain, the signer's keys for them, and short words for sending."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import uuid4

from tests.chains.bitcoin.conftest import coin, network
from tests.chains.bitcoin.network import BitcoinNetwork

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Signed, Slot, Unspent, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.families.bitcoin import sign
from bitlinkpay.signer.hd import secp256k1_public_key
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.vault import Vault

VAULT = Vault.of(bytes(range(64)))
KEYS = NetworkKeys(
    VAULT, Registry(MappingProxyType({}), MappingProxyType({coin().id: coin()}), MappingProxyType({})), network()
)


def wallet(role: KeyRole, index: int = 0) -> Wallet:
    key = VAULT.secp256k1[Family.BITCOIN, True, role].get_privkey_from_path([index])
    return Wallet(role, index, deposit_address(Family.BITCOIN, True, secp256k1_public_key(key)))


HOT = wallet(KeyRole.HOT)


def pays(*targets: tuple[str, int], source: Wallet = HOT) -> tuple[Payment, ...]:
    return tuple(Payment(source, coin().id, target, "", units) for target, units in targets)


def intent(payments: Sequence[Payment], purpose: Purpose = Purpose.PAYOUT, *, fee_max: int = 1_000_000) -> Intent:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return Intent(uuid4(), "bitcoin", purpose, HOT, tuple(payments), fee_max, expires_at)


async def fund(net: BitcoinNetwork, owner: Wallet, *amounts: int) -> list[Unspent]:
    """Give a wallet outputs that stand in a final block."""
    coins = [Unspent(await net.pay(owner.address, units), 0, units, owner) for units in amounts]
    await net.finalize()
    return coins


async def prepare(
    sender: BitcoinSender, what: Intent, coins: Sequence[Unspent], previous: BitcoinPlan | None = None
) -> tuple[BitcoinPlan, Signed]:
    """Choose, plan and sign."""
    inputs = previous.inputs if previous else tuple(await sender.choose(what, coins))
    plan = await sender.plan(what, Slot(0, inputs), previous)
    return plan, sign(what, plan, KEYS)
