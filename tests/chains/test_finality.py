"""Where the chain stands as a quorum sees it: never past what enough operators reached, never backwards, never forked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bitlinkpay.chains.base import BlockRef, ChainError, EndpointFailed, ForkedBlock, Head
from bitlinkpay.chains.finality import Finality, stalled_since
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Network

GENESIS = datetime(2026, 11, 25, tzinfo=UTC)


def block(height: int, branch: str = "a") -> BlockRef:
    return BlockRef(height, f"{branch}{height}", GENESIS + timedelta(seconds=height))


@dataclass(eq=False)
class Node:
    """An endpoint with a chain of its own: which blocks it shows and how far it has them final."""

    label: str
    party: str
    latest: int
    final: int
    branch: str = "a"
    is_down: bool = False
    missing: set[int] = field(default_factory=set)
    is_resting: bool = False

    async def view(self) -> tuple[BlockRef, BlockRef]:
        if self.is_down:
            raise EndpointFailed(f"{self.label} is down")
        return block(self.latest, self.branch), block(self.final, self.branch)

    async def at(self, height: int) -> BlockRef | None:
        if self.is_down:
            raise EndpointFailed(f"{self.label} is down")
        return None if height in self.missing or height > self.latest else block(height, self.branch)


def follow(*nodes: Node, size: int = 2) -> Finality[Node]:
    return Finality(Quorum(nodes, size, patience=timedelta(seconds=60)), Node.view, Node.at)


def three(*finals: int) -> list[Node]:
    return [Node(name, name, final + 10, final) for name, final in zip("xyz", finals, strict=True)]


async def test_nothing_is_final_before_the_first_look() -> None:
    assert follow(*three(5, 5, 5)).height == -1


async def test_one_operator_alone_makes_nothing_final() -> None:
    """THREATS rule 13: the most advanced of three is not believed, the second is."""
    finality = follow(*three(1000, 101, 100))
    head = await finality.head()
    assert (head.final, finality.height) == (block(101), 101)
    assert head.latest == block(111)


async def test_a_laggard_does_not_hold_the_others_back() -> None:
    assert (await follow(*three(100, 100, 3)).head()).final == block(100)


async def test_all_must_agree_where_all_are_asked_for() -> None:
    assert (await follow(*three(100, 90, 80), size=3).head()).final == block(80)


async def test_two_endpoints_of_one_operator_count_once() -> None:
    one, same, other = Node("x1", "x", 210, 200), Node("x2", "x", 210, 200), Node("y", "y", 60, 50)
    assert (await follow(one, same, other).head()).final == block(50)


async def test_the_final_block_never_goes_back_while_the_tag_stalls() -> None:
    nodes = three(100, 100, 100)
    finality = follow(*nodes)
    await finality.head()
    for node in nodes:
        node.final = 40
    assert (await finality.head()).final == block(100)
    assert finality.height == 100
    for node in nodes:
        node.latest, node.final = 130, 120
    assert (await finality.head()).final == block(120)


async def test_a_final_block_that_was_replaced_is_an_alarm() -> None:
    nodes = three(100, 100, 100)
    finality = follow(*nodes)
    await finality.head()
    for node in nodes:
        node.final, node.branch = 90, "b"
    with pytest.raises(ForkedBlock, match="block 100 was final and is b100 now"):
        await finality.head()
    assert finality.height == 100, "what was believed stays until a person looks"


async def test_a_final_block_that_the_nodes_have_not_yet_again_is_no_fork() -> None:
    nodes = three(100, 100, 100)
    finality = follow(*nodes)
    await finality.head()
    for node in nodes:
        node.latest, node.final = 60, 50
    assert (await finality.head()).final == block(100)


async def test_the_newest_block_is_never_shown_below_the_final_one() -> None:
    nodes = three(100, 100, 100)
    for node in nodes:
        node.latest = 70
    assert (await follow(*nodes).head()).latest == block(100)


async def test_operators_on_different_branches_agree_on_nothing() -> None:
    nodes = [Node("x", "x", 110, 100), Node("y", "y", 110, 100, branch="b")]
    with pytest.raises(ChainError):
        await follow(*nodes).head()


async def test_the_branch_of_the_majority_is_taken() -> None:
    nodes = three(100, 100, 100)
    nodes[0].branch = "lie"
    assert (await follow(*nodes).head()).final == block(100)


async def test_who_is_further_says_which_block_stands_at_the_common_height() -> None:
    ahead, behind = Node("x", "x", 310, 300), Node("y", "y", 110, 100)
    ahead.branch = "b"
    with pytest.raises(ChainError):
        await follow(ahead, behind).head()
    ahead.branch = "a"
    assert (await follow(ahead, behind).head()).final == block(100)


async def test_a_missing_block_is_a_gap_and_no_answer() -> None:
    ahead, behind = Node("x", "x", 310, 300, missing={100}), Node("y", "y", 110, 100)
    with pytest.raises(ChainError, match="x has no block 100") as caught:
        await follow(ahead, behind).head()
    assert not isinstance(caught.value, ForkedBlock)


async def test_too_few_endpoints_are_an_error_and_change_nothing() -> None:
    nodes = three(100, 100, 100)
    finality = follow(*nodes)
    await finality.head()
    nodes[0].is_down = nodes[1].is_down = True
    nodes[2].final = 500
    with pytest.raises(ChainError):
        await finality.head()
    assert finality.height == 100


ETHEREUM = load_registry().networks["ethereum"]  # 15 minutes to finality, 12 s a block: stalled after 47 minutes
BITCOIN = load_registry().networks["bitcoin"]


@pytest.mark.parametrize(
    ("network", "blocks", "minutes", "is_stalled"),
    [
        (ETHEREUM, 80, 16, False),
        (ETHEREUM, 236, 47, False),
        (ETHEREUM, 236, 48, True),
        (ETHEREUM, 235, 48, False),
        (ETHEREUM, 3, 600, False),  # the chain stood still and has come back
        (BITCOIN, 600, 6_000, False),
    ],
)
def test_EVM_20_finality_has_stalled_when_the_chain_goes_on_without_it(
    network: Network, blocks: int, minutes: int, is_stalled: bool
) -> None:
    final = block(1_000)
    latest = BlockRef(final.height + blocks, "b", final.time + timedelta(minutes=minutes))
    assert stalled_since(network, Head(latest=latest, final=final)) == (final if is_stalled else None)
