"""What a payout would meet and cost, before anybody asks for it: nothing is reserved or stored."""

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.db.driver import Tx
from bitlinkpay.payouts import checks, store
from bitlinkpay.payouts.drafting import Draft, Repeat
from bitlinkpay.payouts.model import Charge


async def check_recipient(tx: Tx, registry: Registry, network: Network, target: str, tag: str) -> None:
    """Refuse an address that must not be paid; `target` is canonical.

    Raises:
        AddressRefused: nobody's, a token's contract, the network's own, or a wallet of this platform.
        Invalid: a tag where the network has none.
    """
    checks.check_tag(network.family, tag)
    ours = await store.is_ours(tx, network.family.value, target, tag)
    contracts = [asset.contract for asset in registry.assets_of(network.id) if asset.contract]
    checks.check_target(network.family, target, ours=ours, contracts=contracts)


async def estimate(tx: Tx, registry: Registry, draft: Draft | Repeat) -> tuple[int, Charge]:
    """Return what the recipient would get, and what would be charged beside it, by the merchant's terms of now.

    Raises:
        AddressRefused, AmountRefused: as when it is asked for.
        Problem: what its preparation failed of.
    """
    if isinstance(draft, Repeat):
        raise draft.problem
    new = draft.new
    await check_recipient(tx, registry, registry.networks[new.asset.network], draft.target, new.tag)
    terms = await store.find_terms(tx, new.merchant.merchant_id, new.kind, new.asset.id)
    units = checks.check_amount(new.asset, new.amount, terms, today_units=0)
    return units, Charge(checks.fee_units(units, terms), draft.network_fee_units, draft.quote.units_max)
