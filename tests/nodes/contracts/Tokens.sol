// SPDX-License-Identifier: Apache-2.0
// Token contracts that tests deploy on a local node: honest ones, odd ones and hostile ones.
pragma solidity ^0.8.30;

/// A plain ERC-20 whose name, symbol and decimals are whatever its maker says.
contract PlainToken {
    string public name;
    string public symbol;
    uint8 public decimals;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) {
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
        balanceOf[msg.sender] = 10 ** 30;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        if (value > 0) allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) internal virtual {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

/// Like the USDT of Ethereum: `transfer` returns nothing; the owner may pause, block people and take a fee.
contract DollarToken {
    string public name = "Tether USD";
    string public symbol = "USDT";
    uint8 public decimals = 6;
    address public owner = msg.sender;
    bool public paused;
    bool public deprecated;
    uint256 public basisPointsRate;
    mapping(address => bool) public isBlackListed;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor() {
        balanceOf[msg.sender] = 10 ** 30;
    }

    function approve(address spender, uint256 value) external {
        allowance[msg.sender][spender] = value;
    }

    function transfer(address to, uint256 value) external {
        _move(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external {
        if (value > 0) allowance[from][msg.sender] -= value;
        _move(from, to, value);
    }

    function setPaused(bool paused_) external {
        require(msg.sender == owner);
        paused = paused_;
    }

    function setDeprecated(bool deprecated_) external {
        require(msg.sender == owner);
        deprecated = deprecated_;
    }

    function setBlackListed(address who, bool listed) external {
        require(msg.sender == owner);
        isBlackListed[who] = listed;
    }

    function setFee(uint256 basisPoints) external {
        require(msg.sender == owner);
        basisPointsRate = basisPoints;
    }

    function _move(address from, address to, uint256 value) private {
        require(!paused && !isBlackListed[from]);
        uint256 fee = (value * basisPointsRate) / 10000;
        balanceOf[from] -= value;
        balanceOf[to] += value - fee;
        emit Transfer(from, to, value - fee);
        if (fee > 0) {
            balanceOf[owner] += fee;
            emit Transfer(from, owner, fee);
        }
    }
}

/// `transfer` moves nothing and returns false instead of reverting; when told to lie it emits the event all the same.
contract FalseToken is PlainToken {
    bool public lies;

    constructor() PlainToken("False", "FALSE", 6) {}

    function setLies(bool lies_) external {
        lies = lies_;
    }

    function refuse(address to, uint256 value) external returns (bool) {
        if (lies) emit Transfer(msg.sender, to, value);
        return false;
    }
}

/// Takes a tenth of every transfer and says so in no event.
contract SkimToken is PlainToken {
    constructor() PlainToken("Skim", "SKIM", 6) {}

    function _move(address from, address to, uint256 value) internal override {
        balanceOf[from] -= value;
        balanceOf[to] += value - value / 10;
        emit Transfer(from, to, value);
    }
}

/// Balances change for everyone at once, without an event.
contract RebasingToken {
    string public name = "Rebasing";
    string public symbol = "REB";
    uint8 public decimals = 6;
    uint256 public percent = 100;
    mapping(address => uint256) public sharesOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor() {
        sharesOf[msg.sender] = 10 ** 30;
    }

    function balanceOf(address who) external view returns (uint256) {
        return (sharesOf[who] * percent) / 100;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        sharesOf[msg.sender] -= (value * 100) / percent;
        sharesOf[to] += (value * 100) / percent;
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function rebase(uint256 percent_) external {
        percent = percent_;
    }
}

/// `transfer` moves the units, unless the answer is to be false, and answers whatever it is told to; 3 answers nothing.
contract AnsweringToken {
    string public symbol = "ANS";
    uint8 public decimals = 6;
    uint256 public answer = 1;
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor() {
        balanceOf[msg.sender] = 10 ** 30;
    }

    function setAnswer(uint256 answer_) external {
        answer = answer_;
    }

    function transfer(address to, uint256 value) external {
        uint256 said = answer;
        if (said > 0) {
            balanceOf[msg.sender] -= value;
            balanceOf[to] += value;
            emit Transfer(msg.sender, to, value);
        }
        assembly {
            if eq(said, 3) { return(0, 0) }
            mstore(0, said)
            return(0, 32)
        }
    }
}

/// Emits events of any shape: NFT transfers with four topics, missing topics, data of a wrong length.
contract OddEvents {
    uint8 public decimals = 6;
    string public symbol = "ODD";

    function emitLog(bytes32[] calldata topics, bytes calldata data) external {
        bytes memory copy = data;
        uint256 count = topics.length;
        bytes32[4] memory t;
        for (uint256 i = 0; i < count; i++) t[i] = topics[i];
        assembly {
            let start := add(copy, 32)
            let size := mload(copy)
            switch count
            case 0 { log0(start, size) }
            case 1 { log1(start, size, mload(t)) }
            case 2 { log2(start, size, mload(t), mload(add(t, 32))) }
            case 3 { log3(start, size, mload(t), mload(add(t, 32)), mload(add(t, 64))) }
            default { log4(start, size, mload(t), mload(add(t, 32)), mload(add(t, 64)), mload(add(t, 96))) }
        }
    }
}

/// A proxy (EIP-1967) whose code never changes while what it runs does.
contract Proxy {
    bytes32 private constant SLOT = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    constructor(address implementation) {
        upgrade(implementation);
    }

    function upgrade(address implementation) public {
        assembly { sstore(SLOT, implementation) }
    }

    fallback() external payable {
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), sload(SLOT), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}
