// SPDX-License-Identifier: Apache-2.0
// What a token does with a transfer, seen by its holder. It never stands on a chain: nodes run it in a holder's place
// (`eth_call` with the holder's code overridden), so nothing moves and no key is needed.
pragma solidity 0.8.37;

interface Balances {
    function balanceOf(address who) external view returns (uint256);
}

contract TransferTrial {
    /// Transfer `units` of this account to `target`; tell both balances before and after, and what the token answered.
    function run(address token, address target, uint256 units) external returns (uint256[7] memory seen) {
        seen[0] = Balances(token).balanceOf(address(this));
        seen[1] = Balances(token).balanceOf(target);
        bytes memory data = abi.encodeWithSignature("transfer(address,uint256)", target, units);
        bool ok;
        uint256 size;
        uint256 word;
        assembly ("memory-safe") {
            ok := call(gas(), token, 0, add(data, 32), mload(data), 0, 32)
            size := returndatasize()
            word := mload(0)
        }
        seen[2] = ok ? 1 : 0;
        seen[3] = size;
        seen[4] = word;
        seen[5] = Balances(token).balanceOf(address(this));
        seen[6] = Balances(token).balanceOf(target);
    }
}
