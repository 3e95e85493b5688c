"""Our wallets on a local node: the shipped vault over a seed of the tests, and intents between them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tests.chains.evm.rows import coin, network

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.vault import Vault
from bitlinkpay.wallets.derivation import Derivation

SEED = bytes(range(64))
VAULT = Vault.of(SEED)
_RING = derive_keyring(SEED)
_DERIVATION = Derivation(_RING)
HOT = _RING.hot_wallet(network())
OTHER_HOT = _RING.hot_wallet(network(), 1)
ETHER = 10**18
FEE_MAX = ETHER


def deposit(index: int) -> Wallet:
    """Return a deposit wallet of the seed."""
    return Wallet(KeyRole.DEPOSIT, index, _DERIVATION.address(Family.EVM, index, testnet=False))


def keys(*assets: Asset, on: Network | None = None) -> NetworkKeys:
    """Return the signer's keys with a registry of its own: the network's coin and these assets."""
    row = on or network()
    rows = {asset.id: asset for asset in (coin(), *assets)}
    return NetworkKeys(VAULT, Registry({row.id: row}, rows, {}), row)


def intent(
    purpose: Purpose = Purpose.PAYOUT,
    payments: Sequence[Payment] = (),
    *,
    payer: Wallet = HOT,
    fee_max: int = FEE_MAX,
) -> Intent:
    """Return what one transaction shall do."""
    return Intent(
        intent_id=new_uuid7(),
        network=network().id,
        purpose=purpose,
        payer=payer,
        payments=tuple(payments),
        fee_max_units=fee_max,
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )


def pay(asset: Asset, target: str, units: int, *, source: Wallet = HOT) -> Payment:
    """Return one payment out of the hot wallet, or out of another one."""
    return Payment(source, asset.id, target, "", units)


def payout(asset: Asset, *payments: tuple[str, int], fee_max: int = FEE_MAX) -> Intent:
    """Return a payout of the hot wallet."""
    return intent(Purpose.PAYOUT, [pay(asset, target, units) for target, units in payments], fee_max=fee_max)


def sweep(asset: Asset, *sources: tuple[Wallet, int], fee_max: int = FEE_MAX) -> Intent:
    """Return a sweep of deposit addresses into the hot wallet, which pays for it."""
    payments = [pay(asset, HOT.address, units, source=source) for source, units in sources]
    return intent(Purpose.SWEEP, payments, fee_max=fee_max)
