// SPDX-License-Identifier: Apache-2.0
// Recipients that do more than receive, and a token that fails expensively.
pragma solidity ^0.8.30;

interface Batch {
    struct Item {
        address account;
        uint256 units;
    }

    function payNative(uint256 gasMax, Item[] calldata items) external returns (uint256);
}

/// Keeps a note of each payment, which takes about 45,000 gas.
contract Ledger {
    mapping(uint256 => uint256) public payments;
    uint256 public count;

    receive() external payable {
        payments[count++] = msg.value;
    }
}

/// Uses up all gas that it gets.
contract Burner {
    receive() external payable {
        while (true) {}
    }
}

/// Answers with a hundred kilobytes, which whoever copies them pays for.
contract Shouter {
    receive() external payable {
        assembly { return(0, 100000) }
    }
}

/// Calls its payer back and asks for more.
contract Beggar {
    receive() external payable {
        Batch.Item[] memory items = new Batch.Item[](1);
        items[0] = Batch.Item(address(this), 1);
        Batch(msg.sender).payNative(50000, items);
    }
}

/// A token whose refusal, like the assertions of old compilers, burns all gas that it gets.
contract AssertingToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => bool) public isRefused;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor() {
        balanceOf[msg.sender] = 10 ** 30;
    }

    function refuse(address who) external {
        isRefused[who] = true;
    }

    function transfer(address to, uint256 value) external {
        if (isRefused[to]) assembly { invalid() }
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
    }
}
