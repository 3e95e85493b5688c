"""What the signer may refuse."""

from datetime import datetime
from pathlib import Path

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.core.errors import Conflict, Invalid, NotFound, Problem, Unavailable


class SignerExists(Conflict):
    """A seed or a backup already stands where one was to be written."""

    code = "signer.exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already and is never overwritten; name another place")


class SignerMissing(NotFound):
    """The folder holds no sealed seed, or the named file is not there."""

    code = "signer.missing"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not there; run `bitlinkpay signer init` or `bitlinkpay signer restore` first")


class LooseFile(Invalid):
    """A file or folder of secrets is open to other users."""

    code = "signer.loose_file"

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(f"{path} has mode {mode:04o}: other users may read it; run `chmod go-rwx` on it")


class BadUnlock(Invalid):
    """No passphrase or key file was given, or it has not the required form."""

    code = "signer.bad_unlock"


class WrongUnlock(Invalid):
    """The file is intact, but this passphrase or key file does not open it."""

    code = "signer.wrong_passphrase"

    def __init__(self, path: Path) -> None:
        super().__init__(f"the passphrase or key file does not open {path}")


class NoMemory(Unavailable):
    """The machine cannot spare the memory that stretching a passphrase takes."""

    code = "signer.no_memory"

    def __init__(self, memory: int) -> None:
        super().__init__(f"stretching the passphrase takes {memory >> 20} MiB of memory for a moment; make room")


class DamagedFile(Invalid):
    """A sealed file is not in the form that we write, or its content was altered."""

    code = "signer.damaged_file"

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged or was altered ({what}); use another copy")


class KeysDiffer(Invalid):
    """The seed opens, but yields other keys than the file was written for."""

    code = "signer.keys_differ"

    def __init__(self, *, written: str, derived: str) -> None:
        super().__init__(
            f"the seed yields key ring {derived[:8]}, the file was written for {written[:8]}:"
            " this program derives keys by other rules than the one that wrote it"
        )


class SelfTestFailed(Problem):
    """A known answer came out wrong: no key of this machine may be trusted."""

    code = "signer.self_test"

    def __init__(self, name: str) -> None:
        super().__init__(f"known-answer test {name!r} failed: the key libraries on this machine are broken")


class SignerBusy(Conflict):
    """Another process serves this signer folder or writes to it."""

    code = "signer.busy"

    def __init__(self, path: Path) -> None:
        super().__init__(f"another process holds {path}; stop it first")


class SignerUnreachable(Unavailable):
    """The signer process does not answer on its socket."""

    code = "signer.unreachable"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"the signer does not answer on {path} ({why})")


class SignerRefused(Invalid):
    """The signer understood the request and refused it: by its policy, or because it does not fit together.

    Attributes:
        payments: which payments of the intent are refused, by place; none where it is the whole.
    """

    code = "signer.refused"

    def __init__(self, message: str, payments: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.payments = payments


class CapReached(SignerRefused):
    """The payments would fit the caps at another time."""

    code = "signer.cap_reached"


class ApprovalNeeded(SignerRefused):
    """The payments are above the cap of one payment: an operator must approve them."""

    code = "signer.approval_needed"


class SignerPaused(Unavailable):
    """The signer signs nothing at the moment, whoever asks."""

    code = "signer.paused"


class ForeignWallet(Invalid):
    """A wallet that is said to be ours has no key of ours."""

    code = "signer.foreign_wallet"

    def __init__(self, network: str, wallet: Wallet) -> None:
        super().__init__(f"{wallet.address[:100]} is not {wallet.role} wallet {wallet.index} of this seed on {network}")


class ForeignAsset(Invalid):
    """The signer's own registry has no such asset on this network."""

    code = "signer.foreign_asset"

    def __init__(self, network: str, asset_id: str) -> None:
        super().__init__(f"the signer's registry has no asset {asset_id[:40]!r} on {network}")


class PlanMismatch(SignerRefused):
    """A plan does not fit its intent: nothing is signed."""

    code = "signer.plan_mismatch"


class AuditBroken(Invalid):
    """The signer's audit is not what it wrote."""

    code = "signer.audit_broken"

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"the audit in {path} does not hold ({what}): find out who changed it; to begin a new one, move the folder"
            " away, which also forgets what the caps have been used for"
        )


class AuditFailed(Unavailable):
    """A record could not be made durable: nothing is signed."""

    code = "signer.audit_failed"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"the audit in {path} can't be written ({why}): nothing is signed; make room and restart")


class ClockBehind(Unavailable):
    """The signer's clock is behind what it wrote down itself."""

    code = "signer.clock_behind"

    def __init__(self, newest: datetime) -> None:
        super().__init__(
            f"the clock is behind the audit's newest record of {newest:%Y-%m-%d %H:%M:%S} UTC; set it right"
        )


class ClockJumped(Unavailable):
    """The wall clock was set while the signer ran."""

    code = "signer.clock_jumped"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"the signer's clock was set by {seconds} s while it ran: expiry and caps can't be trusted, nothing is"
            " signed; set it right and restart the signer"
        )
