"""Networks and assets as frozen values: what an operator configures in a registry row, never what a chain says."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Family(StrEnum):
    """Which adapter speaks to the network."""

    EVM = "evm"
    TRON = "tron"
    BITCOIN = "bitcoin"
    SOLANA = "solana"
    TON = "ton"


@dataclass(frozen=True, slots=True)
class Network:
    """One chain that money moves on.

    Attributes:
        id: one lower-case word, such as `tron`.
        title: the name people know, such as `BNB Smart Chain`.
        family: the adapter; also the key family whose addresses it shares (all EVM networks share addresses).
        chain_id: the chain's own numeric id (EIP-155 for EVM), 0 where the family has none.
        genesis: hash of block 0 as the family spells hashes, or "" where unknown; checked at connect.
        wm_chain_id: `chain_id` of the SDK protocol.
        block_time: the usual time between blocks.
        confirmations: how many blocks, the transaction's own included, make it final where the family counts
            them (Bitcoin), else 0: the chain's own final tag decides.
        final_after: the usual time from block to finality, for display only.
        grace: how much later than `expires_at` a block's own time may be and still be in time.
        testnet: True for test networks; changes address prefixes (`tb1…`, `0Q…`).
        sandbox_lag: sandbox only: by how many blocks the newest final block of the simulated network trails the
            newest one; where `confirmations` counts, that decides instead.
        proof: how a block is believed: `recomputed` from its own hash, or `compared` between endpoints where the
            chain's blocks have a form of their own.
    """

    id: str
    title: str
    family: Family
    chain_id: int
    genesis: str
    wm_chain_id: int
    block_time: timedelta
    confirmations: int
    final_after: timedelta
    grace: timedelta
    testnet: bool = False
    sandbox_lag: int = 2
    proof: str = "recomputed"


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep amounts of at least `from_units` must lie before they are credited, where that is more than usual.

    Attributes:
        confirmations: Bitcoin: under so many, their own block included; else 0.
        finality: EVM: final by this block tag; else "".
    """

    from_units: int
    confirmations: int = 0
    finality: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Amounts of at least `from_units` are credited only once so many independent endpoints show them alike."""

    from_units: int
    quorum: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What an amount asks for beyond what its network asks of every transfer.

    Attributes:
        quorum: how many independent endpoints must show its block, final, with the transfer in it; 0 for no more.
        finality: EVM: the block tag that makes it final; "" for the network's own.
    """

    quorum: int = 0
    finality: str = ""


@dataclass(frozen=True, slots=True)
class Asset:
    """A coin on a network, the unit of the books.

    Attributes:
        id: `symbol-network`, lower case, such as `usdt-tron`.
        symbol: the ticker on the wire and in configuration, such as `USDT`.
        network: id of the network.
        standard: token standard as shown (`TRC20`), "" for a native coin.
        contract: canonical address of the token contract, mint or jetton master; "" for the native coin.
        wallet: TON only: our pinned jetton wallet for this master, canonical; else "".
        decimals: digits of the base unit.
        payable_decimals: digits that an asked amount may carry.
        wm_coin_id: `coin_id` of the SDK protocol.
        minimum_units: the smallest order; smaller transfers are booked as what they are, so that custody is exact.
        sanity_units: larger transfers are held for review.
        payable: whether merchants may ask for it.
        title: what people read where it differs from the symbol, such as `GRAM (TON)`; "" for the symbol itself.
        aliases: other tickers that a merchant may write for it, such as `GRAM`.
        payer_fee_cents: what sending it usually costs the payer, in US cents, for display and order; 0 for unknown.
        depths: Bitcoin, EVM: which amounts must lie deeper than the network's own rule says.
        quorums: which amounts need more endpoints than the network's own quorum.
        onchain_symbol: what the contract calls itself where that is not `symbol`, such as `USD₮0`; "" elsewhere.
    """

    id: str
    symbol: str
    network: str
    standard: str
    contract: str
    wallet: str
    decimals: int
    payable_decimals: int
    wm_coin_id: int
    minimum_units: int
    sanity_units: int
    payable: bool
    title: str = ""
    aliases: tuple[str, ...] = ()
    payer_fee_cents: int = 0
    depths: tuple[Depth, ...] = ()
    quorums: tuple[Agreement, ...] = ()
    onchain_symbol: str = ""

    @property
    def ticker(self) -> str:
        """Return the ticker as people read it."""
        return self.title or self.symbol

    @property
    def is_native(self) -> bool:
        """Say whether this is the network's own coin."""
        return self.contract == ""

    def demand(self, units: int) -> Demand:
        """Return what a transfer of so many units asks for; the empty demand for most."""
        return Demand(
            quorum=max((rule.quorum for rule in self.quorums if units >= rule.from_units), default=0),
            finality=max((depth.finality for depth in self.depths if units >= depth.from_units), default=""),
        )

    @property
    def demands(self) -> frozenset[Demand]:
        """Return every demand that some amount makes, without the empty one."""
        steps = {depth.from_units for depth in self.depths} | {rule.from_units for rule in self.quorums}
        return frozenset(map(self.demand, steps)) - {Demand()}
