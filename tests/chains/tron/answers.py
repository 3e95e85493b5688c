"""What java-tron writes as JSON: hex without a prefix, numbers as they are, zeros and empty values left out."""

from typing import TYPE_CHECKING

from tests.chains.tron import messages
from tests.chains.tron.ledger import (
    CONTRACT_RESULTS,
    FREE_NET,
    TOTAL_ENERGY,
    TOTAL_ENERGY_WEIGHT,
    TOTAL_NET,
    TOTAL_NET_WEIGHT,
    State,
)
from tests.chains.tron.messages import Message

if TYPE_CHECKING:
    from tests.chains.tron.network import Mined


def lean(**values: object) -> dict[str, object]:
    """Return an object without its zeros."""
    return {name: value for name, value in values.items() if value not in (0, "", b"", [], {}, None, False)}


def block_json(block: "Mined", *, is_whole: bool) -> dict[str, object]:
    header = block.header
    raw = lean(
        number=header.number,
        txTrieRoot=header.txTrieRoot.hex(),
        witness_address=header.witness_address.hex(),
        parentHash=header.parentHash.hex(),
        version=header.version,
        timestamp=header.timestamp,
    )
    answer = {"blockID": block.id.hex(), "block_header": {"raw_data": raw, "witness_signature": "00" * 65}}
    if is_whole and block.transactions:
        answer["transactions"] = [
            transaction_json(tx, txid) for txid, tx in zip(block.outcomes, block.transactions, strict=True)
        ]
    return answer


def transaction_json(transaction: Message, txid: bytes) -> dict[str, object]:
    contract = transaction.raw_data.contract[0]
    name = messages.NAMES[contract.type]
    body = messages.parse(name, contract.parameter.value)
    value = {field.name: _value(item) for field, item in body.ListFields()}
    parameter = {"value": value, "type_url": contract.parameter.type_url}
    return {
        "ret": [{"contractRet": CONTRACT_RESULTS[result.contractRet]} for result in transaction.ret],
        "signature": [signature.hex() for signature in transaction.signature],
        "txID": txid.hex(),
        "raw_data": {"contract": [{"parameter": parameter, "type": name}], "timestamp": transaction.raw_data.timestamp},
        "raw_data_hex": transaction.raw_data.SerializeToString().hex(),
    }


def _value(item: object) -> object:
    if isinstance(item, bytes):
        return item.hex()
    return item if isinstance(item, int) else str(item)


def info_json(block: "Mined", txid: bytes) -> dict[str, object]:
    outcome = block.outcomes[txid]
    receipt = lean(
        energy_usage=outcome.energy_usage,
        energy_fee=outcome.energy_fee,
        energy_usage_total=outcome.ran.energy if outcome.ran else 0,
        net_usage=outcome.net_usage,
        net_fee=outcome.net_fee,
        result=outcome.ended if outcome.ran else "",
    )
    is_failed = outcome.ended != "SUCCESS"
    inner = [
        lean(
            hash="ab" * 32,
            caller_address="41" + each.caller.hex(),
            transferTo_address="41" + each.target.hex(),
            callValueInfo=[lean(callValue=each.units)],
            note=each.note.encode().hex(),
            rejected=each.rejected,
        )
        for each in outcome.inner
    ]
    return {
        "id": txid.hex(),
        **lean(fee=outcome.fee, blockNumber=block.height),
        "blockTimeStamp": block.header.timestamp,
        "contractResult": [outcome.ran.output.hex() if outcome.ran else ""],
        "receipt": receipt,
        **lean(
            result="FAILED" if is_failed else "",
            contract_address="41" + outcome.contract.hex() if outcome.contract else "",
            log=[
                lean(address=address.hex(), topics=[topic.hex() for topic in topics], data=data.hex())
                for address, topics, data in (outcome.ran.logs if outcome.ran else [])
            ],
            internal_transactions=inner,
            withdraw_amount=outcome.withdrawn,
        ),
    }


def account_json(state: State, address: bytes) -> dict[str, object]:
    account = state.accounts.get(address)
    if account is None:
        return {}
    own = ["41" + key.hex() for key in account.owners or [address]]
    keys = [{"address": key, "weight": 1} for key in own]
    permission = {"permission_name": "owner", "threshold": 1, "keys": keys}
    return {
        "address": "41" + address.hex(),
        **lean(balance=state.machine.balance(address), type="Contract" if account.is_contract else ""),
        "create_time": 1_700_000_000_000,
        "owner_permission": permission,
        "active_permission": [{"type": "Active", "id": 2, **permission}],
        "assetV2": [{"key": name.decode(), "value": units} for name, units in account.tokens.items()],
    }


def resources_json(state: State, address: bytes, now_ms: int) -> dict[str, object]:
    account = state.accounts.get(address)
    if account is None:
        return {}
    return lean(
        freeNetUsed=account.free_net.now(now_ms),
        freeNetLimit=FREE_NET,
        NetUsed=account.net.now(now_ms),
        NetLimit=account.net_limit,
        TotalNetLimit=TOTAL_NET,
        TotalNetWeight=TOTAL_NET_WEIGHT,
        EnergyUsed=account.energy.now(now_ms),
        EnergyLimit=account.energy_limit,
        TotalEnergyLimit=TOTAL_ENERGY,
        TotalEnergyWeight=TOTAL_ENERGY_WEIGHT,
    )
