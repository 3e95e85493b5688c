"""Which sealing key a deployment recognises: the one whose fingerprint its database keeps.

A host that has none must not make its own beside it: what it sealed nobody else could read.
"""

from pathlib import Path

from bitlinkpay.core.errors import Conflict
from bitlinkpay.core.sealing import Purpose, Sealer
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants.sealing import key, store


class SealingKeyElsewhere(Conflict):
    """The deployment's secrets are sealed with a key that this host does not hold."""

    code = "sealing.key_elsewhere"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder / key.NAME} is missing, or is not the key of this deployment's secrets: copy that file from an"
            " API host or your backup; only if it is lost for good, `bitlinkpay authority adopt` makes the one here"
            " count, and then every merchant needs a new webhook secret"
        )


async def find(tx: Tx) -> bytes | None:
    """Return the fingerprint of the key that counts, or None before the first secret."""
    return await store.find_fingerprint(tx)


async def check_folder(tx: Tx, folder: Path) -> None:
    """Refuse to make a key in a folder without one while the deployment has one elsewhere.

    Raises:
        SealingKeyElsewhere: see there.
    """
    if not key.is_made(folder) and await store.find_fingerprint(tx) is not None:
        raise SealingKeyElsewhere(folder)


async def recognise(tx: Tx, sealer: Sealer, folder: Path) -> None:
    """Keep the first key's fingerprint; compare every later one with what counts.

    Raises:
        SealingKeyElsewhere: see there.
    """
    await store.insert_first_fingerprint(tx, sealer.fingerprint)
    if await store.find_fingerprint(tx) != sealer.fingerprint:
        raise SealingKeyElsewhere(folder)


async def adopt(tx: Tx, sealer: Sealer) -> None:
    """Make a key count from now on, instead of the one before, whose secrets are lost."""
    if await store.find_fingerprint(tx) != sealer.fingerprint:
        await store.insert_fingerprint(tx, sealer.fingerprint)


async def has_plain(tx: Tx) -> bool:
    """Say whether secrets of a release before this one wait to be sealed."""
    return await store.has_plain(tx)


async def seal_plain(tx: Tx, sealer: Sealer) -> int:
    """Seal the secrets of a release before this one, where they stand; return how many."""
    found = await store.lock_plain(tx)
    for merchant_id, plain in found:
        sealed = sealer.seal(plain, purpose=Purpose.WEBHOOK_SECRET, owner=merchant_id)
        await store.replace_plain(tx, merchant_id, plain, sealed)
    return len(found)
