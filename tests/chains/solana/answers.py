"""What the cluster in `ledger` answers to JSON-RPC, in the JSON that `solders` makes of its own response types."""

import base64
import json
from collections.abc import Callable, Sequence
from decimal import Decimal

import base58
from solders.account import Account
from solders.account_decoder import UiTokenAmount
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.state import TokenAccount
from solders.transaction import VersionedTransaction
from solders.transaction_status import (
    EncodedTransactionWithStatusMeta,
    UiAddressTableLookup,
    UiCompiledInstruction,
    UiConfirmedBlock,
    UiInnerInstructions,
    UiLoadedAddresses,
    UiRawMessage,
    UiTransaction,
    UiTransactionStatusMeta,
    UiTransactionTokenBalance,
)
from tests.chains.solana.ledger import AGE_MAX, LEADER, TOKEN, Block, Executed, Ledger, Refused

TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
_FEES = [0] * 15 + [1_000, 2_000, 5_000, 10_000, 200_000]  # micro-lamports, as quiet blocks show them


class RpcError(Exception):
    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({"data": data} if data is not None else {})


class Answers:
    """One node of the cluster. `first` is the oldest slot that it keeps; `behind` makes it lag by so many blocks."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.first = 0
        self.behind = 0
        self.priority_fees = list(_FEES)

    def __call__(self, method: str, params: Sequence[object]) -> object:
        answer = getattr(self, f"_{method}", None)
        if answer is None:
            raise RpcError(-32601, "Method not found")
        return answer(*params)

    def _tip(self, options: dict[str, object] | None, default: str = "finalized") -> Block:
        level = (options or {}).get("commitment", default)
        blocks = self.ledger.blocks
        block = self.ledger.final if level == "finalized" else blocks[-1]
        return blocks[max(0, blocks.index(block) - self.behind)]

    def _context(self, options: dict[str, object] | None) -> tuple[int, dict[str, object]]:
        slot = self._tip(options).slot
        if slot < int((options or {}).get("minContextSlot", 0)):
            raise RpcError(-32016, "Minimum context slot has not been reached", {"contextSlot": slot})
        return slot, {"apiVersion": "3.1.0", "slot": slot}

    def _visible(self, options: dict[str, object] | None) -> list[Block]:
        tip = self._tip(options).slot
        return [block for block in self.ledger.blocks if self.first <= block.slot <= tip]

    def _getHealth(self) -> str:
        return "ok"

    def _getGenesisHash(self) -> str:
        return self.ledger.genesis_hash

    def _getSlot(self, options: dict[str, object] | None = None) -> int:
        return self._tip(options).slot

    def _getBlockHeight(self, options: dict[str, object] | None = None) -> int:
        return self._tip(options).height

    def _getBlocks(self, first: int, last: int, options: dict[str, object] | None = None) -> list[int]:
        return [block.slot for block in self._visible(options) if first <= block.slot <= last]

    def _getBlocksWithLimit(self, first: int, limit: int, options: dict[str, object] | None = None) -> list[int]:
        return [block.slot for block in self._visible(options) if block.slot >= first][:limit]

    def _getBlock(self, slot: int, options: dict[str, object]) -> object:
        if slot < self.first:
            raise RpcError(
                -32001, f"Block {slot} cleaned up, does not exist on node. First available block: {self.first}"
            )
        if slot > self._tip(options).slot:
            raise RpcError(-32004, f"Block not available for slot {slot}")
        block = next((block for block in self._visible(options) if block.slot == slot), None)
        if block is None:
            raise RpcError(-32007, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot")
        details = options.get("transactionDetails", "full")
        for executed in block.executed if details == "full" else ():
            _check_version(executed.tx, options)
        answer = UiConfirmedBlock(
            block.previous,
            block.hash,
            block.parent_slot,
            [encoded(executed, self._decimals) for executed in block.executed] if details == "full" else None,
            [executed.signature for executed in block.executed] if details == "signatures" else None,
            None,
            block.time,
            block.height,
        )
        return {name: value for name, value in json.loads(answer.to_json()).items() if value is not None}

    def _decimals(self, mint: Pubkey) -> int:
        return self.ledger.vm.get_account(mint).data[44]

    def _find(self, signature: str, options: dict[str, object] | None) -> tuple[Block, Executed] | None:
        wanted = Signature.from_string(signature)
        found = (
            (block, each) for block in self._visible(options) for each in block.executed if each.signature == wanted
        )
        return next(found, None)

    def _getTransaction(self, signature: str, options: dict[str, object]) -> object:
        found = self._find(signature, options)
        if found is None:
            return None
        block, executed = found
        _check_version(executed.tx, options)
        return json.loads(encoded(executed, self._decimals).to_json()) | {"slot": block.slot, "blockTime": block.time}

    def _getSignatureStatuses(self, signatures: list[str], _options: dict[str, object] | None = None) -> object:
        _, context = self._context({"commitment": "processed"})
        return {"context": context, "value": [self._status(signature) for signature in signatures]}

    def _status(self, signature: str) -> object:
        found = self._find(signature, {"commitment": "processed"})
        if found is None:
            return None
        block, executed = found
        err = json.loads(encoded(executed, self._decimals).to_json())["meta"]["err"]
        is_final = block.slot <= self._tip({"commitment": "finalized"}).slot
        return {
            "slot": block.slot,
            "confirmations": None if is_final else 1,
            "err": err,
            "status": {"Ok": None} if err is None else {"Err": err},
            "confirmationStatus": "finalized" if is_final else "confirmed",
        }

    def _getSignaturesForAddress(self, address: str, options: dict[str, object] | None = None) -> object:
        self._context(options)
        key, before = Pubkey.from_string(address), (options or {}).get("before")
        found = [
            {"signature": str(each.signature), "slot": block.slot, "err": None, "memo": None, "blockTime": block.time}
            for block in reversed(self._visible(options))
            for each in reversed(block.executed)
            if key in each.keys
        ]
        at = next((i + 1 for i, one in enumerate(found) if one["signature"] == before), 0)
        return found[at : at + int((options or {}).get("limit", 1000))]

    def _account(self, key: str | Pubkey, options: dict[str, object] | None) -> object:
        slot = self._tip(options).slot
        account = self.ledger.account(key if isinstance(key, Pubkey) else Pubkey.from_string(key), slot)
        return None if account is None else account_json(account, options)

    def _getBalance(self, address: str, options: dict[str, object] | None = None) -> object:
        slot, context = self._context(options)
        account = self.ledger.account(Pubkey.from_string(address), slot)
        return {"context": context, "value": account.lamports if account else 0}

    def _getAccountInfo(self, address: str, options: dict[str, object] | None = None) -> object:
        _, context = self._context(options)
        return {"context": context, "value": self._account(address, options)}

    def _getMultipleAccounts(self, addresses: list[str], options: dict[str, object] | None = None) -> object:
        _, context = self._context(options)
        if len(addresses) > 100:
            raise RpcError(-32602, "Too many inputs provided; max 100")
        return {"context": context, "value": [self._account(address, options) for address in addresses]}

    def _getTokenAccountsByOwner(self, owner: str, filters: dict[str, str], options: dict[str, object]) -> object:
        slot, context = self._context(options)
        wanted = bytes(Pubkey.from_string(filters["mint"])) + bytes(Pubkey.from_string(owner))
        found = [
            {"pubkey": str(key), "account": account_json(account, options)}
            for key, account in self.ledger.accounts(slot)
            if account.owner in {TOKEN, TOKEN_2022} and len(account.data) >= 165 and account.data[:64] == wanted
        ]
        return {"context": context, "value": found}

    def _getLatestBlockhash(self, options: dict[str, object] | None = None) -> object:
        block = self._tip(options)
        _, context = self._context(options)
        return {
            "context": context,
            "value": {"blockhash": str(block.hash), "lastValidBlockHeight": block.height + AGE_MAX},
        }

    def _getMinimumBalanceForRentExemption(self, size: int, _options: dict[str, object] | None = None) -> int:
        return self.ledger.vm.minimum_balance_for_rent_exemption(size)

    def _getRecentPrioritizationFees(self, _addresses: list[str] | None = None) -> object:
        slots = [block.slot for block in self.ledger.blocks][-len(self.priority_fees) :]
        return [{"slot": slot, "prioritizationFee": fee} for slot, fee in zip(slots, self.priority_fees, strict=False)]

    def _getSlotLeaders(self, _first: int, limit: int) -> list[str]:
        return [str(LEADER)] * limit

    def _simulateTransaction(self, raw: str, options: dict[str, object]) -> object:
        tx = VersionedTransaction.from_bytes(base64.b64decode(raw))
        _, context = self._context(options)
        self.ledger.vm.with_sigverify(bool(options.get("sigVerify")))
        result = self.ledger.vm.simulate_transaction(tx)
        self.ledger.vm.with_sigverify(True)
        failed = hasattr(result, "err")
        err = None
        if failed:
            meta = UiTransactionStatusMeta(result.err(), 0, [], [])
            err = json.loads(meta.to_json())["err"]
        after = {} if failed else {str(key): account for key, account in result.post_accounts()}
        value = {
            "accounts": self._left(options, after, len(tx.message.account_keys), failed=failed),
            "err": err,
            "innerInstructions": None,
            "logs": result.meta().logs(),
            "returnData": None,
            "unitsConsumed": result.meta().compute_units_consumed(),
        }
        return {"context": context, "value": value}

    def _left(
        self, options: dict[str, object], after: dict[str, Account], accounts_max: int, *, failed: bool
    ) -> list[object] | None:
        """Tell accounts after a simulation, as `simulate_transaction` of agave's rpc.rs does."""
        wanted = options.get("accounts")
        if wanted is None:
            return None
        if wanted.get("encoding", "base64") in {"binary", "base58"}:
            raise RpcError(-32602, "base58 encoding not supported")
        addresses = wanted["addresses"]
        if len(addresses) > accounts_max:
            raise RpcError(-32602, f"Too many accounts provided; max {accounts_max}")
        if failed:
            return [None] * len(addresses)
        found = [after.get(key) or self.ledger.vm.get_account(Pubkey.from_string(key)) for key in addresses]
        return [account_json(account, None) if account and account.lamports else None for account in found]

    def _sendTransaction(self, raw: str, options: dict[str, object] | None = None) -> str:
        if (options or {}).get("encoding") != "base64":
            raise RpcError(-32602, "invalid transaction encoding")
        try:
            tx = VersionedTransaction.from_bytes(base64.b64decode(raw))
        except Exception as error:
            raise RpcError(-32602, f"failed to deserialize: {error}") from None
        if not all(tx.verify_with_results()):
            raise RpcError(-32003, "Transaction signature verification failure")
        if len(bytes(tx)) > 1232:
            raise RpcError(-32602, "base64 encoded transaction too large")
        if not (options or {}).get("skipPreflight"):
            try:
                self.ledger.check(tx, self.ledger.newest.height + 1)
            except Refused as refusal:
                raise RpcError(-32002, f"Transaction simulation failed: {refusal}") from None
        if tx.signatures[0] not in {other.signatures[0] for other in self.ledger.pending}:
            self.ledger.pending.append(tx)
        return str(tx.signatures[0])


def account_json(account: Account, options: dict[str, object] | None) -> dict[str, object]:
    piece = (options or {}).get("dataSlice")
    data = account.data[piece["offset"] : piece["offset"] + piece["length"]] if piece else account.data
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": [base64.b64encode(data).decode(), "base64"],
        "executable": account.executable,
        "rentEpoch": 18446744073709551615,
        "space": len(account.data),
    }


def _check_version(tx: VersionedTransaction, options: dict[str, object]) -> None:
    version = tx.version()
    if isinstance(version, int) and version > int(options.get("maxSupportedTransactionVersion", -1)):
        raise RpcError(
            -32015,
            f"Transaction version ({version}) is not supported by the requesting client. Please try the request again with "
            f'the following configuration parameter: "maxSupportedTransactionVersion": {version}',
        )


def encoded(executed: Executed, decimals: Callable[[Pubkey], int]) -> EncodedTransactionWithStatusMeta:
    """Return a transaction and its outcome as nodes encode them."""
    message = executed.tx.message
    lookups = None
    if isinstance(message, MessageV0):
        lookups = [
            UiAddressTableLookup(each.account_key, bytes(each.writable_indexes), bytes(each.readonly_indexes))
            for each in message.address_table_lookups
        ]
    raw = UiRawMessage(
        message.header,
        message.account_keys,
        message.recent_blockhash,
        [_instruction(each, 1) for each in message.instructions],
        lookups,
    )
    meta = UiTransactionStatusMeta(
        executed.err,
        executed.meta.fee(),
        [account.lamports if account else 0 for account in executed.before],
        [account.lamports if account else 0 for account in executed.after],
        [
            UiInnerInstructions(index, [_instruction(each.instruction(), each.stack_height()) for each in inner])
            for index, inner in enumerate(executed.meta.inner_instructions())
            if inner
        ],
        executed.meta.logs(),
        token_balances(executed.keys, executed.before, decimals),
        token_balances(executed.keys, executed.after, decimals),
        [],
        UiLoadedAddresses(*executed.loaded),
        None,
        executed.meta.compute_units_consumed(),
    )
    return EncodedTransactionWithStatusMeta(UiTransaction(executed.tx.signatures, raw), meta, executed.tx.version())


def _instruction(each: object, depth: int | None) -> UiCompiledInstruction:
    data = base58.b58encode(bytes(each.data)).decode()
    return UiCompiledInstruction(each.program_id_index, bytes(each.accounts), data, depth)


def token_balances(
    keys: Sequence[Pubkey], accounts: Sequence[Account | None], decimals: Callable[[Pubkey], int]
) -> list[UiTransactionTokenBalance]:
    """Return the balances of those of the accounts that are token accounts."""
    found = []
    for index, account in enumerate(accounts):
        if account is None or account.owner not in {TOKEN, TOKEN_2022} or len(account.data) < 165:
            continue
        if len(account.data) > 165 and account.data[165] != 2:
            continue
        token = TokenAccount.from_bytes(account.data[:165])
        if int(token.state):
            digits = decimals(token.mint)
            shown = Decimal(token.amount).scaleb(-digits).normalize()
            amount = UiTokenAmount(float(shown) or None, digits, str(token.amount), f"{shown:f}")
            found.append(UiTransactionTokenBalance(index, token.mint, amount, token.owner, account.owner))
    return found
