// SPDX-License-Identifier: Apache-2.0
// What our own addresses run once they have delegated to it (EIP-7702): paying and sweeping, nothing else.
pragma solidity 0.8.37;

/// Calls whose outcome is known whatever is called and whatever it answers.
library Calls {
    /// True only if the call came back with exactly `true`, so never from an address without code.
    function confirms(address callee, uint256 gasMax, bytes memory data) internal returns (bool) {
        (bool ok, uint256 size, uint256 word) = _call(callee, gasMax, data);
        return ok && size >= 32 && word == 1;
    }

    /// As above, but a token may also answer nothing, as the USDT of Ethereum does.
    function transfers(address token, uint256 gasMax, address target, uint256 units) internal returns (bool) {
        bytes memory data = abi.encodeWithSignature("transfer(address,uint256)", target, units);
        (bool ok, uint256 size, uint256 word) = _call(token, gasMax, data);
        return ok && (size == 0 ? token.code.length > 0 : size >= 32 && word == 1);
    }

    /// At most one word of the answer is copied, however long it is.
    function _call(address callee, uint256 gasMax, bytes memory data)
        private
        returns (bool ok, uint256 size, uint256 word)
    {
        assembly ("memory-safe") {
            ok := call(gasMax, callee, 0, add(data, 32), mload(data), 0, 32)
            size := returndatasize()
            word := mload(0)
        }
    }
}

/// Runs at deposit addresses: moves tokens to the one sink that its code names, when that sink itself calls.
contract Sweeper {
    address private immutable SINK;

    constructor(address sink) {
        SINK = sink;
    }

    receive() external payable {}

    function sweep(address token, uint256 units) external returns (bool) {
        require(msg.sender == SINK);
        return Calls.transfers(token, gasleft(), SINK, units);
    }
}

/// Runs at a hot wallet, when the wallet calls itself: makes many payments, none of which can undo another.
/// Answer and event are a set of bits: bit i is 1 where item i failed.
contract Executor {
    struct Item {
        address account;
        uint256 units;
    }

    event Executed(uint256 failures);

    error TooLittleGas();

    /// Also deploys the sweeper whose sink is `wallet`; its address follows from this contract's.
    constructor(address wallet) {
        new Sweeper(wallet);
    }

    receive() external payable {}

    /// Only the wallet itself, and no more items than there are bits.
    modifier batch(uint256 count) {
        require(msg.sender == address(this) && count <= 256);
        _;
    }

    function payTokens(address token, uint256 gasMax, Item[] calldata items)
        external
        batch(items.length)
        returns (uint256 failures)
    {
        for (uint256 i = 0; i < items.length; i++) {
            bool ok = Calls.transfers(token, gasMax, items[i].account, items[i].units);
            failures |= _failure(i, ok, gasMax);
        }
        emit Executed(failures);
    }

    function payNative(uint256 gasMax, Item[] calldata items)
        external
        batch(items.length)
        returns (uint256 failures)
    {
        for (uint256 i = 0; i < items.length; i++) {
            address account = items[i].account;
            uint256 units = items[i].units;
            bool ok;
            assembly ("memory-safe") {
                ok := call(gasMax, account, units, 0, 0, 0, 0)
            }
            failures |= _failure(i, ok, gasMax);
        }
        emit Executed(failures);
    }

    function sweepTokens(address token, uint256 gasMax, Item[] calldata items)
        external
        batch(items.length)
        returns (uint256 failures)
    {
        for (uint256 i = 0; i < items.length; i++) {
            bytes memory data = abi.encodeCall(Sweeper.sweep, (token, items[i].units));
            failures |= _failure(i, Calls.confirms(items[i].account, gasMax, data), gasMax);
        }
        emit Executed(failures);
    }

    /// An item counts as failed only if as much gas as it may use is still there. Else the transaction's own limit may
    /// have failed it (EIP-150 passes on what is left), and an estimate would find a limit at which all items fail.
    function _failure(uint256 i, bool ok, uint256 gasMax) private view returns (uint256) {
        if (ok) return 0;
        if (gasleft() < gasMax) revert TooLittleGas();
        return 1 << i;
    }
}
