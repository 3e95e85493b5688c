"""Gas per payment of each way to pay and to sweep, with the shipped signing, on whatever node."""

from collections.abc import Sequence

from tests.chains.evm.ours import ETHER, HOT, deposit, intent, keys, pay, payout, sweep
from tests.chains.evm.rows import token
from tests.nodes.anvil import Anvil, Contract

from bitlinkpay.chains.evm.plan import Authorization, EvmPlan, Shape
from bitlinkpay.chains.outgoing import Intent, Purpose, Wallet
from bitlinkpay.core.assets import Asset
from bitlinkpay.signer.families.evm import sign

BATCH = 50
UNITS = 12_345_678
GAS_LIMIT = 16_000_000
ITEM_GAS = 100_000


class Till:
    """Signs and sends with plans of its own making, so that nothing but the gas used depends on the node."""

    def __init__(self, node: Anvil, usdt: Contract) -> None:
        self.node = node
        self.contract = usdt
        self.usdt: Asset = token(usdt.address)
        self._nonces: dict[str, int] = {}

    async def send(self, wanted: Intent, shape: Shape, accounts: Sequence[str] = (), *, deploys: bool = False) -> int:
        """Send one transaction and return the gas that it used."""
        payer = wanted.payer.address
        nonce = self._nonces.get(payer, 0)
        own = shape is Shape.DELEGATION
        self._nonces[payer] = nonce + (2 if own else 1)
        plan = EvmPlan(
            shape=shape,
            chain_id=self.node.chain_id,
            nonce=nonce,
            gas_limit=GAS_LIMIT,
            max_fee=2 * 10**9,
            priority_fee=10**6,
            item_gas=ITEM_GAS if shape in {Shape.BATCH, Shape.SWEEP} else 0,
            authorizations=tuple(Authorization(each, nonce + 1 if own else 0) for each in accounts),
            deploys=deploys,
        )
        signed = sign(wanted, plan, keys(self.usdt))
        await self.node.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex())
        await self.node.mine()
        return int((await self.node.receipt(signed.txid))["gasUsed"], 16)

    async def fund(self, address: str, units: int) -> None:
        await self.node.send(to=address, value=units, gas=60_000)
        await self.node.mine()


async def measure(node: Anvil) -> dict[str, float]:
    """Return gas per payment of each way."""
    till = Till(node, await node.deploy("DollarToken"))
    await till.fund(HOT.address, 100 * ETHER)
    await till.contract.send("transfer(address,uint256)", HOT.address, 10**15)
    await node.mine()
    gas: dict[str, float] = {}
    first, second = deposit(1).address, deposit(2).address
    gas["single, new"] = await till.send(payout(till.usdt, (first, UNITS)), Shape.TOKEN)
    gas["single, existing"] = await till.send(payout(till.usdt, (first, UNITS)), Shape.TOKEN)
    setup = intent(Purpose.SETUP)
    gas["set-up"] = await till.send(setup, Shape.DELEGATION, [HOT.address], deploys=True)
    targets = [(deposit(100 + i).address, UNITS) for i in range(BATCH)]
    for name in ("batch, new", "batch, existing"):
        gas[name] = await till.send(payout(till.usdt, *targets), Shape.BATCH) / BATCH
    gas["classic sweep"] = await classic_sweep(till, deposit(3), second)
    sources = [deposit(100 + i) for i in range(BATCH)]
    for name, units, accounts in (
        ("first sweep", 2 * UNITS, [wallet.address for wallet in sources]),
        ("repeated sweep", UNITS, []),
    ):
        wanted = sweep(till.usdt, *((wallet, units) for wallet in sources))
        gas[name] = await till.send(wanted, Shape.SWEEP, accounts) / BATCH
        await till.send(payout(till.usdt, *targets), Shape.BATCH)
    return gas


async def classic_sweep(till: Till, source: Wallet, holder: str) -> float:
    """Fund a deposit address with gas, then let it send its tokens to one who holds some."""
    await till.send(payout(till.usdt, (source.address, UNITS), (holder, UNITS)), Shape.BATCH)
    funding = await till.node.send(to=source.address, value=ETHER, gas=21_000)
    await till.node.mine()
    gas = int((await till.node.receipt(funding))["gasUsed"], 16)
    wanted = intent(Purpose.SWEEP, [pay(till.usdt, holder, UNITS, source=source)], payer=source)
    return gas + await till.send(wanted, Shape.TOKEN)
