"""The state of the test network and what each contract type does to it, after java-tron's actuators."""

from dataclasses import dataclass, field

from eth_utils import keccak
from tests.chains.tron import messages
from tests.chains.tron.messages import Message
from tests.chains.tron.vm import Inner, Machine, Ran

DAY_MS = 86_400_000
RESULT_BYTES = 64
FREE_NET = 600
NEW_ACCOUNT, NEW_ACCOUNT_BANDWIDTH, BYTE, PERMISSIONS = 1_000_000, 100_000, 1_000, 100_000_000
TOTAL_ENERGY, TOTAL_ENERGY_WEIGHT = 180_000_000_000, 18_000_000_000
TOTAL_NET, TOTAL_NET_WEIGHT = 43_200_000_000, 27_000_000_000
CONTRACT_RESULTS = ["DEFAULT", "SUCCESS", "REVERT", *[""] * 5, "ILLEGAL_OPERATION", "", "OUT_OF_ENERGY", "OUT_OF_TIME"]


class Refused(Exception):
    """The network does not take a transaction; `code` is java-tron's."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code} {message}")
        self.code, self.message = code, message


@dataclass
class Used:
    """How much of a daily allowance is used; all of it is back a day later."""

    units: int = 0
    at_ms: int = 0

    def now(self, now_ms: int) -> int:
        return 0 if now_ms - self.at_ms >= DAY_MS else self.units

    def add(self, units: int, now_ms: int) -> None:
        self.units, self.at_ms = self.now(now_ms) + units, now_ms


@dataclass
class Account:
    """An account beside its balance, code and storage, which the machine keeps."""

    is_contract: bool = False
    free_net: Used = field(default_factory=Used)
    net: Used = field(default_factory=Used)
    energy: Used = field(default_factory=Used)
    net_stake: int = 0
    energy_stake: int = 0
    lent: dict[bytes, int] = field(default_factory=dict)
    borrowed: int = 0
    reward: int = 0
    tokens: dict[bytes, int] = field(default_factory=dict)
    owners: list[bytes] = field(default_factory=list)

    @property
    def net_limit(self) -> int:
        return self.net_stake // 1_000_000 * TOTAL_NET // TOTAL_NET_WEIGHT

    @property
    def energy_limit(self) -> int:
        stake = self.energy_stake - sum(self.lent.values()) + self.borrowed
        return stake // 1_000_000 * TOTAL_ENERGY // TOTAL_ENERGY_WEIGHT

    def lendable(self, now_ms: int) -> int:
        """Return the stake that may be lent: own and unlent, less what the energy in use stands for."""
        in_use = self.energy.now(now_ms) * 1_000_000 * TOTAL_ENERGY_WEIGHT // TOTAL_ENERGY
        return max(0, self.energy_stake - sum(self.lent.values()) - max(0, in_use - self.borrowed))


@dataclass
class Outcome:
    """What executing a transaction did, in the form of `TransactionInfo`."""

    ended: str = "SUCCESS"
    fee: int = 0
    net_fee: int = 0
    net_usage: int = 0
    energy_fee: int = 0
    energy_usage: int = 0
    contract: bytes = b""
    ran: Ran | None = None
    withdrawn: int = 0
    inner: list[Inner] = field(default_factory=list)


class State:
    """All accounts after some block."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.accounts: dict[bytes, Account] = {}
        self.energy_price = 100
        self.rewrite: dict[
            bytes, list[Inner]
        ] = {}  # by transaction id: inner transactions that contracts can't make here

    def account(self, address: bytes) -> Account:
        account = self.accounts.get(address)
        if account is None:
            raise Refused("CONTRACT_VALIDATE_ERROR", f"account [{address.hex()}] does not exist")
        return account

    def apply(self, transaction: Message, txid: bytes, now_ms: int) -> Outcome:
        """Execute a valid transaction.

        Raises:
            Refused: it is not valid on this state.
        """
        kind, body = open_contract(transaction)
        owner = body.owner_address[1:]
        self.account(owner)
        outcome = Outcome()
        handler = getattr(self, f"_{messages.NAMES[kind]}")
        checks = getattr(self, f"_check_{messages.NAMES[kind]}", None)
        if checks is not None:
            checks(body, owner)
        self._bandwidth(transaction, kind, body, owner, outcome, now_ms=now_ms)
        handler(body, owner, outcome, now_ms=now_ms, txid=txid, fee_limit=transaction.raw_data.fee_limit)
        outcome.fee += outcome.net_fee + outcome.energy_fee
        return outcome

    def _bandwidth(
        self, transaction: Message, kind: int, body: Message, owner: bytes, outcome: Outcome, *, now_ms: int
    ) -> None:
        account = self.accounts[owner]
        size = transaction.ByteSize() + RESULT_BYTES
        creates = kind in {0, 1, 2} and _receiver(kind, body) not in self.accounts
        if account.net_limit - account.net.now(now_ms) >= size:
            account.net.add(size, now_ms)
            outcome.net_usage = size
        elif creates:
            self._burn(owner, NEW_ACCOUNT_BANDWIDTH, outcome)
        elif FREE_NET - account.free_net.now(now_ms) >= size:
            account.free_net.add(size, now_ms)
            outcome.net_usage = size
        else:
            self._burn(owner, size * BYTE, outcome)

    def _burn(self, owner: bytes, units: int, outcome: Outcome) -> None:
        if self.machine.balance(owner) < units:
            raise Refused("BANDWITH_ERROR", "account has insufficient bandwidth and balance to create transaction")
        self.machine.add(owner, -units)
        outcome.net_fee += units

    def _take(self, owner: bytes, units: int, what: str) -> None:
        if self.machine.balance(owner) < units:
            raise Refused("CONTRACT_VALIDATE_ERROR", f"Validate {what} error, balance is not sufficient.")
        self.machine.add(owner, -units)

    def _create(self, owner: bytes, address: bytes, outcome: Outcome) -> None:
        if address not in self.accounts:
            self._take(owner, NEW_ACCOUNT, "create account")
            outcome.fee += NEW_ACCOUNT
            self.accounts[address] = Account()

    def _check_TransferContract(self, body: Message, owner: bytes) -> None:
        target = body.to_address[1:]
        if target == owner:
            raise Refused("CONTRACT_VALIDATE_ERROR", "Cannot transfer TRX to yourself.")
        if body.amount <= 0:
            raise Refused("CONTRACT_VALIDATE_ERROR", "Amount must be greater than 0.")
        if target in self.accounts and self.accounts[target].is_contract:
            raise Refused("CONTRACT_VALIDATE_ERROR", "Cannot transfer TRX to a smartContract.")
        if self.machine.balance(owner) < body.amount + (NEW_ACCOUNT if target not in self.accounts else 0):
            raise Refused("CONTRACT_VALIDATE_ERROR", "Validate TransferContract error, balance is not sufficient.")

    def _TransferContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        self._create(owner, body.to_address[1:], outcome)
        self._take(owner, body.amount, "TransferContract")
        self.machine.add(body.to_address[1:], body.amount)

    def _AccountCreateContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        self._create(owner, body.account_address[1:], outcome)

    def _TransferAssetContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        tokens = self.accounts[owner].tokens
        if tokens.get(body.asset_name, 0) < body.amount:
            raise Refused("CONTRACT_VALIDATE_ERROR", "assetBalance is not sufficient.")
        self._create(owner, body.to_address[1:], outcome)
        tokens[body.asset_name] -= body.amount
        target = self.accounts[body.to_address[1:]].tokens
        target[body.asset_name] = target.get(body.asset_name, 0) + body.amount

    def _ParticipateAssetIssueContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        """Coin for a token that nobody here has."""
        self._take(owner, body.amount, "ParticipateAssetIssue")

    def _VoteWitnessContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        """Votes move nothing."""

    def _WithdrawBalanceContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        account = self.accounts[owner]
        outcome.withdrawn, account.reward = account.reward, 0
        self.machine.add(owner, outcome.withdrawn)

    def _FreezeBalanceV2Contract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        self._take(owner, body.frozen_balance, "FreezeBalanceV2")
        account = self.accounts[owner]
        account.energy_stake += body.frozen_balance * body.resource
        account.net_stake += body.frozen_balance * (1 - body.resource)

    def _UnfreezeBalanceV2Contract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        self.accounts[owner].energy_stake -= body.unfreeze_balance

    def _DelegateResourceContract(
        self, body: Message, owner: bytes, outcome: Outcome, *, now_ms: int, **_: object
    ) -> None:
        lender, borrower = self.accounts[owner], self.account(body.receiver_address[1:])
        if body.balance < 1_000_000:
            raise Refused("CONTRACT_VALIDATE_ERROR", "delegateBalance must be greater than or equal to 1 TRX")
        if body.receiver_address[1:] == owner:
            raise Refused("CONTRACT_VALIDATE_ERROR", "receiverAddress must not be the same as ownerAddress")
        if lender.lendable(now_ms) < body.balance:
            raise Refused(
                "CONTRACT_VALIDATE_ERROR",
                "delegateBalance must be less than or equal to available FreezeEnergyV2 balance",
            )
        if borrower.is_contract:
            raise Refused("CONTRACT_VALIDATE_ERROR", "Do not allow delegate resources to contract addresses")
        lender.lent[body.receiver_address[1:]] = lender.lent.get(body.receiver_address[1:], 0) + body.balance
        borrower.borrowed += body.balance

    def _UnDelegateResourceContract(
        self, body: Message, owner: bytes, outcome: Outcome, *, now_ms: int, **_: object
    ) -> None:
        lender, borrower = self.accounts[owner], self.account(body.receiver_address[1:])
        if lender.lent.get(body.receiver_address[1:], 0) < body.balance:
            raise Refused("CONTRACT_VALIDATE_ERROR", "insufficient delegatedFrozenBalance(Energy)")
        used, all_stake = borrower.energy.now(now_ms), borrower.energy_stake + borrower.borrowed
        share = min(used * body.balance // all_stake, body.balance * TOTAL_ENERGY // TOTAL_ENERGY_WEIGHT // 1_000_000)
        borrower.energy.add(-share, now_ms)
        lender.energy.add(share, now_ms)
        lender.lent[body.receiver_address[1:]] -= body.balance
        borrower.borrowed -= body.balance

    def _AccountPermissionUpdateContract(self, body: Message, owner: bytes, outcome: Outcome, **_: object) -> None:
        self._take(owner, PERMISSIONS, "AccountPermissionUpdate")
        outcome.fee += PERMISSIONS
        self.accounts[owner].owners = [key.address[1:] for key in body.owner.keys]

    def _CreateSmartContract(
        self, body: Message, owner: bytes, outcome: Outcome, *, now_ms: int, txid: bytes, fee_limit: int
    ) -> None:
        address = keccak(txid + body.owner_address)[12:]
        new = body.new_contract
        limit = self._energy_limit(owner, new.call_value, fee_limit, now_ms)
        self._ran(
            owner, address, self.machine.create(owner, address, new.bytecode, new.call_value, limit), outcome, now_ms
        )
        if outcome.ended == "SUCCESS":
            self.accounts[address] = Account(is_contract=True)

    def _check_TriggerSmartContract(self, body: Message, owner: bytes) -> None:
        if body.contract_address[1:] not in self.machine.code:
            raise Refused("CONTRACT_VALIDATE_ERROR", "No contract or not a valid smart contract")
        if self.machine.balance(owner) < body.call_value:
            raise Refused("CONTRACT_VALIDATE_ERROR", "balance is not sufficient.")

    def _TriggerSmartContract(
        self, body: Message, owner: bytes, outcome: Outcome, *, now_ms: int, txid: bytes, fee_limit: int
    ) -> None:
        contract = body.contract_address[1:]
        limit = self._energy_limit(owner, body.call_value, fee_limit, now_ms)
        ran = self.machine.call(owner, contract, body.data, body.call_value, limit)
        self._ran(owner, contract, ran, outcome, now_ms)
        outcome.inner = self.rewrite.get(txid, ran.inner)

    def _energy_limit(self, owner: bytes, call_value: int, fee_limit: int, now_ms: int) -> int:
        account = self.accounts[owner]
        left = max(0, account.energy_limit - account.energy.now(now_ms))
        burnable = (self.machine.balance(owner) - call_value) // self.energy_price
        return min(fee_limit // self.energy_price, left + burnable)

    def _ran(self, owner: bytes, contract: bytes, ran: Ran, outcome: Outcome, now_ms: int) -> None:
        account = self.accounts[owner]
        covered = min(ran.energy, max(0, account.energy_limit - account.energy.now(now_ms)))
        account.energy.add(covered, now_ms)
        outcome.energy_fee = (ran.energy - covered) * self.energy_price
        self.machine.add(owner, -outcome.energy_fee)
        outcome.energy_usage, outcome.contract, outcome.ran, outcome.ended = covered, contract, ran, ran.ended
        for inner in ran.inner:
            if not inner.rejected and inner.units:
                self.accounts.setdefault(inner.target, Account())


def open_contract(transaction: Message) -> tuple[int, Message]:
    """Return type and body of a transaction's only contract.

    Raises:
        Refused: there is none that the network knows.
    """
    contracts = transaction.raw_data.contract
    if len(contracts) != 1 or contracts[0].type not in messages.NAMES:
        raise Refused("CONTRACT_VALIDATE_ERROR", "no contract")
    name = messages.NAMES[contracts[0].type]
    if contracts[0].parameter.type_url.rpartition("/")[2] != f"protocol.{name}":
        raise Refused("CONTRACT_VALIDATE_ERROR", "contract type error")
    return contracts[0].type, messages.parse(name, contracts[0].parameter.value)


def _receiver(kind: int, body: Message) -> bytes:
    return (body.account_address if kind == 0 else body.to_address)[1:]
