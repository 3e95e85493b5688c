"""Which authority a deployment recognises: the one whose fingerprint its database keeps.

Every API host needs the same `keys/`. One that has none must not make its own beside them: its certificates and its
envelope key would fit no merchant's files.
"""

from pathlib import Path

from bitlinkpay.core.errors import Conflict
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants import store
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.model import Fingerprint

_WAY_OUT = (
    "copy keys/ from one of its API hosts or from your backup; only if it is lost for good,"
    " `bitlinkpay authority adopt` makes the folder here count, and then every merchant needs new files"
)


class AuthorityElsewhere(Conflict):
    """The deployment has an authority, and this host has no copy of it."""

    code = "authority.elsewhere"

    def __init__(self, folder: Path, recognised: Fingerprint) -> None:
        super().__init__(f"this deployment has a CA ({recognised}), and {folder} holds none: {_WAY_OUT}")


class AuthorityDiffers(Conflict):
    """The keys of this host are not those that the deployment recognises."""

    code = "authority.differs"

    def __init__(self, here: Fingerprint, recognised: Fingerprint) -> None:
        super().__init__(f"this deployment's CA and envelope key are {recognised}, keys/ here holds {here}: {_WAY_OUT}")


async def find(tx: Tx) -> Fingerprint | None:
    """Return the fingerprint of the authority that counts, or None before the first start of an API."""
    return await store.find_authority(tx)


async def check_folder(tx: Tx, folder: Path) -> None:
    """Refuse to make an authority in a folder without one while the deployment has one elsewhere.

    Raises:
        AuthorityElsewhere: see there.
    """
    recognised = await store.find_authority(tx)
    if recognised is not None and not Authority.is_made(folder):
        raise AuthorityElsewhere(folder, recognised)


async def recognise(tx: Tx, here: Fingerprint) -> None:
    """Keep the first authority's fingerprint; compare every later one with what counts.

    Raises:
        AuthorityDiffers: see there.
    """
    await store.insert_first_authority(tx, here)
    recognised = await store.find_authority(tx)
    assert recognised is not None
    if recognised != here:
        raise AuthorityDiffers(here, recognised)


async def adopt(tx: Tx, here: Fingerprint) -> None:
    """Make an authority count from now on, instead of the one before."""
    if await store.find_authority(tx) != here:
        await store.insert_authority(tx, here)
