"""The virtual machine of the test network: revm in this process, with the inner calls that java-tron would record.

What it is not: TRON's machine counts energy by its own schedule and gives inner contracts other addresses. Here energy
is EVM gas without the intrinsic part and without refunds, and inner creations are addressed as on Ethereum.
"""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field

import pyrevm

_INTRINSIC, _ZERO_BYTE, _OTHER_BYTE = 21_000, 4, 16
_CALLS = {"CALL": 3, "CALLCODE": 3, "DELEGATECALL": 0, "STATICCALL": 0}  # where the value lies, from the top
_SPEC = "CANCUN"
NOBODY = bytes(20)


@dataclass
class Inner:
    """One inner transaction as java-tron's `Program` records it."""

    caller: bytes
    target: bytes
    units: int
    note: str
    rejected: bool = False


@dataclass
class Ran:
    """What running code did."""

    ended: str
    output: bytes
    energy: int
    logs: list[tuple[bytes, list[bytes], bytes]] = field(default_factory=list)
    inner: list[Inner] = field(default_factory=list)


class Machine:
    """Balances, code and storage of all accounts; amounts are sun."""

    def __init__(self) -> None:
        self._evm = pyrevm.EVM(spec_id=_SPEC)
        self.code: dict[bytes, bytes] = {}

    def balance(self, account: bytes) -> int:
        return self._evm.get_balance(_hex(account))

    def add(self, account: bytes, units: int) -> None:
        balance = self.balance(account) + units
        assert balance >= 0, "the ledger let an account go below zero"
        self._evm.set_balance(_hex(account), balance)

    def create(self, owner: bytes, address: bytes, code: bytes, value: int, energy: int) -> Ran:
        """Run creation code at the address that the network chose, and keep what it returns as the contract's code."""
        self._put(address, code)
        ran = self.call(owner, address, b"", value, energy)
        self._put(address, ran.output if ran.ended == "SUCCESS" else b"")
        return ran

    def call(self, owner: bytes, contract: bytes, data: bytes, value: int, energy: int) -> Ran:
        """Run a call and keep what it changed, unless it fails."""
        gas = energy + _intrinsic(data)
        held = self.balance(contract) + value
        self._evm.tracing = held > 0  # a trace takes a second, and without coin no inner call moves any
        output, trace = _traced(
            lambda: self._evm.message_call(_hex(owner), _hex(contract), data, value=value, gas=gas, gas_price=0),
            is_traced=held > 0,
        )
        result = self._evm.result
        used = max(0, result.gas_used + result.gas_refunded - _intrinsic(data))
        ended = "SUCCESS" if result.is_success else _ending(str(result.reason))
        logs = [
            (_raw(log.address), [_raw(topic) for topic in log.topics], bytes(log.data[1]))
            for log in (result.logs if result.is_success else [])
        ]
        inner = inner_calls(trace, contract, held)
        if not result.is_success:
            for each in inner:
                each.rejected = True
        return Ran(ended, output, energy if ended == "OUT_OF_ENERGY" else used, logs, inner)

    def simulate(self, owner: bytes, contract: bytes, data: bytes, value: int, energy: int) -> Ran:
        """Run a call and undo it."""
        mark = self._evm.snapshot()
        try:
            return self.call(owner, contract, data, value, energy)
        finally:
            self._evm.revert(mark)

    def _put(self, address: bytes, code: bytes) -> None:
        self.code[address] = code
        held = self.balance(address)
        self._evm.insert_account_info(_hex(address), pyrevm.AccountInfo(balance=held, nonce=1, code=code))


def _ending(reason: str) -> str:
    if "OutOfGas" in reason:
        return "OUT_OF_ENERGY"
    return "REVERT" if "Revert" in reason else "ILLEGAL_OPERATION"


def _intrinsic(data: bytes) -> int:
    zeros = data.count(0)
    return _INTRINSIC + zeros * _ZERO_BYTE + (len(data) - zeros) * _OTHER_BYTE


def _traced(run: Callable[[], bytes], *, is_traced: bool) -> tuple[bytes, list[dict[str, object]]]:
    """Run with `sys.stdout` caught, where pyrevm writes its trace (EIP-3155) and nowhere else."""
    if not is_traced:
        return _output(run), []
    with redirect_stdout(io.StringIO()) as sink:
        output = _output(run)
    steps = [json.loads(line) for line in sink.getvalue().splitlines()]
    return output, [step for step in steps if "opName" in step]


def _output(run: Callable[[], bytes]) -> bytes:
    try:
        return bytes(run())
    except RuntimeError as failure:
        return _revert_data(str(failure))


def _revert_data(message: str) -> bytes:
    start = message.find("0x")
    digits = (
        message[start + 2 :].split('"', maxsplit=1)[0].split(" ", maxsplit=1)[0].split(",", maxsplit=1)[0].rstrip("})")
        if start >= 0
        else ""
    )
    return bytes.fromhex(digits) if len(digits) % 2 == 0 and all(c in "0123456789abcdef" for c in digits) else b""


def inner_calls(trace: list[dict[str, object]], contract: bytes, held: int) -> list[Inner]:
    """Return the inner transactions of a trace in order; what an undone frame did is rejected."""
    found: list[Inner] = []
    waiting: list[tuple[int, int, bool]] = []  # depth of the calling frame, place in `found`, whether it was entered
    frames = {1: contract}
    for step in trace:
        depth, stack, name = step["depth"], [int(item, 16) for item in step["stack"]], step["opName"]
        while waiting and depth <= waiting[-1][0]:
            _, place, entered = waiting.pop()
            _close(found, place, entered, bool(stack and stack[-1]))
        if waiting and not waiting[-1][2]:
            caller_depth, place, _ = waiting[-1]
            waiting[-1] = (caller_depth, place, True)
            frames[depth] = found[place].target
        here = frames.get(depth, NOBODY)
        if name in _CALLS:
            at = _CALLS[name]
            target = stack[-2].to_bytes(32, "big")[-20:]
            context = here if name in {"DELEGATECALL", "CALLCODE"} else target
            found.append(Inner(here, context, stack[-at] if at else 0, "call"))
            waiting.append((depth, len(found) - 1, False))
        elif name == "SELFDESTRUCT":
            found.append(Inner(here, stack[-1].to_bytes(32, "big")[-20:], held, "suicide"))
    return found


def _close(found: list[Inner], place: int, entered: bool, is_success: bool) -> None:
    if is_success:
        return
    if not entered:
        del found[place:]  # it was never made: java-tron records no call that its sender can't pay
        return
    for inner in found[place:]:
        inner.rejected = True


def _hex(account: bytes) -> str:
    return "0x" + account.hex()


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
