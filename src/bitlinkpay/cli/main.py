"""`bitlinkpay COMMAND ...`: finds the command's module and turns problems into one line and an exit code."""

import argparse
import errno
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from bitlinkpay import __version__
from bitlinkpay.core.errors import Problem

# A table and not imports: a supervisor must not carry what only the API needs.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "serve": ("serve", "run everything: PostgreSQL, signer, API, pages, workers"),
        "demo": ("demo", "watch an order being paid, from nothing, in a throw-away sandbox"),
        "api": ("api", "run the merchant API and the pages of a deployment"),
        "worker": ("worker", "run the watchers, callbacks and schedules of a deployment"),
        "signer": ("signer", "init | backup | restore | status | policy | audit | serve: the holder of the keys"),
        "approve": ("approve", "let a payment through that is above the signer's caps"),
        "migrate": ("migrate", "bring the database schema up to this release"),
        "authority": ("authority", "show | adopt: whose CA, envelope key and sealing key count"),
        "merchant": ("merchant", "create | list | show | revoke | set-fee | set-policy | rotate-secret | api-key ..."),
        "order": ("order", "show an order by order id or source id"),
        "payout": ("payout", "list | show | approve | hold | reject | batch payouts, terms, stop | start | stops"),
        "lane": ("lane", "list | thaw: the queue of each wallet that pays"),
        "settlement": ("settlement", "a merchant's own money: request | list | approve | bind | add-rule | runs ..."),
        "treasury": (
            "treasury",
            "the platform's own wallets: status | plan | moves | levels | gas | consolidation | claim | refill ...",
        ),
        "unassigned": ("unassigned", "list | assign | accept | credit | release | refund | confirm odd money"),
        "reconcile": ("reconcile", "run | show | resolve: what the books say against what the chains hold"),
        "balance": ("balance", "show what a merchant is owed"),
        "statement": ("statement", "show | export a merchant's days: opening, movements, fees, closing"),
        "ledger": ("ledger", "check all of the books | audit what is new in them"),
        "webhook": ("webhook", "list | show | resend callbacks"),
        "sandbox": ("sandbox", "pay | fund | stake | mine | reorg | clock on simulated networks"),
        "chains": ("chains", "status of every network and endpoint"),
        "registry": ("registry", "check networks and tokens, against the chain too | accept a changed contract"),
    }
)

_EXIT_PROBLEM: Final = 1
_EXIT_USAGE: Final = 2
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # told without a name where a write fails

Run = Callable[[argparse.ArgumentParser, Sequence[str]], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after a problem (one line on stderr), or 2 for wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0 if words else _EXIT_USAGE
    if words[0] == "--version":
        print(__version__)
        return 0
    if words[0] not in COMMANDS:
        print(f"bitlinkpay: no command {words[0]!r}; see `bitlinkpay --help`", file=sys.stderr)
        return _EXIT_USAGE
    module, summary = COMMANDS[words[0]]
    parser = argparse.ArgumentParser(prog=f"bitlinkpay {words[0]}", description=summary)
    run: Run = importlib.import_module(f"bitlinkpay.cli.{module}").run
    return _guarded(run, parser, words[1:])


def _guarded(run: Run, parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    try:
        return run(parser, words)
    except Problem as problem:
        print(f"bitlinkpay: {problem.message}", file=sys.stderr)
        return _EXIT_PROBLEM
    except ExceptionGroup as group:  # a task group wraps the problem of its first failing task
        problems, rest = group.split(Problem)
        if problems is None or rest is not None:
            raise
        print(f"bitlinkpay: {_first(problems)}", file=sys.stderr)
        return _EXIT_PROBLEM
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except OSError as error:
        if error.filename is None and error.errno not in _DISK:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"bitlinkpay: {where}{error.strerror}", file=sys.stderr)
        return _EXIT_PROBLEM


def _first(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return str(group)


def _overview() -> str:
    lines = [f"  {name:12} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            f"BitLink Pay {__version__}: a crypto payment platform",
            "",
            *lines,
            "",
            "`bitlinkpay COMMAND --help` tells more. Every command finds the deployment by --data-dir,",
            "BITLINKPAY_DATA_DIR or a bitlinkpay.toml in the current folder.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
