"""A schedule: acts drawn from one seed, played on a stage, brought to rest and accounted for; and cut shorter where it fails."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from tests.crashes.faults import Fault
from tests.crashes.flow import Act, Flow
from tests.crashes.flows.batches import Batches
from tests.crashes.flows.chains import Chains
from tests.crashes.flows.cold import Cold
from tests.crashes.flows.orders import Orders
from tests.crashes.flows.payouts import Payouts
from tests.crashes.flows.refunds import Refunds
from tests.crashes.flows.settlements import Settlements
from tests.crashes.flows.sweeps import Sweeps
from tests.crashes.flows.workers import Workers
from tests.crashes.stage import Stage

FLOWS: Sequence[type[Flow]] = (
    Workers,
    Chains,
    Batches,
    Payouts,
    Orders,
    Refunds,
    Sweeps,
    Cold,
    Settlements,
)
"""What a schedule is made of, in the order in which it comes to its end; another flow is one more name here."""

CASTS = (
    ("tron", "usdt-tron"),
    ("ton", "usdt-ton"),
    ("ethereum", "usdt-ethereum"),
    ("solana", "usdt-solana"),
    ("bitcoin", "btc-bitcoin"),
)
FIRST = (
    ("Payouts", "ask"),
    ("Settlements", "run"),
    ("Settlements", "request"),
    ("Sweeps", "sweep"),
    ("Refunds", "refund"),
    ("Cold", "cool"),
    ("Batches", "file"),
)
ACTS = (1, 5)
STRIKES = (("settle", 60), ("pay", 90), ("pay", 90), ("pay", 60), ("watch", 45), ("tell", 30))
"""On whom the rest of a schedule strikes, and how far off at most."""
FAULTS = {Fault.KILL: 7, Fault.CUT: 1, Fault.SLEEP: 2}
SHORT = {"run": 60, "sweep": 40, "cool": 40}
"""How far off a strike may be on a worker whose step is shorter than a payer's; it falls asleep at a call, of which there
are few, and those come early."""
DROWSY = 12
REQUESTS = ("ask", "repeat", "decide", "open", "rule", "request", "recall", "refund", "confirm")
FARTHEST = 90
"""Ticks after which a fuse blows at the latest; few processes run longer without rest."""


@dataclass(frozen=True, slots=True)
class Script:
    """What is to happen, decided before it begins."""

    seed: int
    network: str
    asset: str
    acts: tuple[Act, ...]
    strikes: tuple[Act, ...]  # on those who bring it to its end


def draw(seed: int) -> Script:
    """Draw a schedule: money that is to leave first, then whatever comes."""
    dice = Random(seed)
    network, asset = CASTS[seed % len(CASTS)]
    named = {(flow.__name__, name): weight for flow in FLOWS for name, weight in flow.WEIGHTS.items()}
    drawn = dice.choices(list(named), weights=list(named.values()), k=dice.randint(*ACTS))
    acts = tuple(_act(dice, *name) for name in [dice.choice(FIRST), *drawn])
    return Script(seed, network, asset, acts, tuple(_strike(dice, *one) for one in STRIKES))


def _strike(dice: Random, loop: str, farthest: int) -> Act:
    fault = dice.choices(list(FAULTS), weights=list(FAULTS.values()))[0]
    return Act("Workers", loop, dice.getrandbits(32), fault, dice.randint(1, farthest))


def _act(dice: Random, flow: str, name: str) -> Act:
    fault = dice.choices(list(FAULTS), weights=list(FAULTS.values()))[0]
    farthest = DROWSY if name in SHORT and fault is Fault.SLEEP else SHORT.get(name, FARTHEST)
    place = dice.randint(1, farthest) if dice.random() < 0.8 else 0
    if name in REQUESTS:  # they have few steps, and most of them go well
        place = dice.randint(1, 40) if dice.random() < 0.5 else 0
    return Act(flow, name, dice.getrandbits(32), fault, place)


async def play(stage: Stage, script: Script) -> list[str]:
    """Play acts, come to rest, account for everything; return what came of each act.

    Raises:
        AssertionError, Exception: something does not hold; the notes tell the seed and what had happened.
    """
    trace: list[str] = []
    try:
        await stage.begin()
        for act in script.acts:
            trace.append(str(act))
            trace[-1] = await stage.play(act)
        trace += await stage.come_to_rest(script.strikes)
        await stage.account()
    except BaseException as error:
        error.add_note("\n  ".join([f"seed {stage.seed} on {stage.network}:", *trace]))
        raise
    return trace


async def shorten(script: Script, fails: Callable[[Script], Awaitable[bool]]) -> Script:
    """Leave out strikes, acts and their faults as long as it still fails; return the shortest script found."""
    for strike in script.strikes:
        script = await _shorter(script, replace(script, strikes=_without(script.strikes, strike)), fails)
    for act in script.acts:
        script = await _shorter(script, replace(script, acts=_without(script.acts, act)), fails)
    for act in script.acts:
        calm = tuple(replace(one, place=0) if one is act else one for one in script.acts)
        script = await _shorter(script, replace(script, acts=calm), fails)
    return script


async def _shorter(script: Script, shorter: Script, fails: Callable[[Script], Awaitable[bool]]) -> Script:
    return shorter if shorter != script and await fails(shorter) else script


def _without(acts: tuple[Act, ...], act: Act) -> tuple[Act, ...]:
    return tuple(one for one in acts if one is not act)
