// SPDX-License-Identifier: Apache-2.0
// Contracts that send money in roundabout ways.
pragma solidity ^0.8.30;

interface Token {
    function transfer(address to, uint256 value) external;
    function transferFrom(address from, address to, uint256 value) external;
}

/// Pays many at once; one leg that fails undoes all.
contract Disperse {
    function payNative(address payable[] calldata targets, uint256[] calldata values) external payable {
        for (uint256 i = 0; i < targets.length; i++) {
            (bool ok, ) = targets[i].call{value: values[i]}("");
            require(ok, "leg failed");
        }
    }

    function payToken(Token token, address[] calldata targets, uint256[] calldata values) external {
        for (uint256 i = 0; i < targets.length; i++) token.transferFrom(msg.sender, targets[i], values[i]);
    }
}

/// Sends native coin by inner calls, some of which are undone while the transaction succeeds.
contract InnerSender {
    receive() external payable {}

    function send(address payable target, uint256 value) public payable {
        (bool ok, ) = target.call{value: value}("");
        require(ok, "send failed");
    }

    function sendThenRevert(address payable target, uint256 value) external payable {
        send(target, value);
        revert("undone");
    }

    function sendUndone(address payable target, uint256 value) external payable {
        try this.sendThenRevert(target, value) {} catch {}
    }

    function sendHalfUndone(address payable target, uint256 kept, uint256 undone) external payable {
        try this.sendThenRevert(target, undone) {} catch {}
        send(target, kept);
    }
}

/// Leaves its balance to someone without calling them.
contract Bequest {
    constructor() payable {}

    function leaveTo(address payable heir) external {
        selfdestruct(heir);
    }
}

/// Refuses all native coin.
contract Refuser {
    receive() external payable {
        revert("no");
    }
}

/// Moves a payer's tokens on someone else's transaction, as bundlers and relayers do.
contract Relayer {
    function pull(Token token, address from, address to, uint256 value) external {
        token.transferFrom(from, to, value);
    }
}

/// What an account delegated by EIP-7702 runs: any list of calls, by whoever asks.
contract Delegate {
    receive() external payable {}

    function run(address[] calldata targets, uint256[] calldata values, bytes[] calldata data) external payable {
        for (uint256 i = 0; i < targets.length; i++) {
            (bool ok, ) = targets[i].call{value: values[i]}(data[i]);
            require(ok, "call failed");
        }
    }
}
