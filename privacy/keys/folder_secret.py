"""A site's folder of keys: everything of `KeyFolder`, and the aggregation keys. Never for a coordinator.

The aggregation key in use is that of the grant with the highest epoch. Older ones are retired: they open sums that were
made under them, and protect no new update.
"""

from __future__ import annotations

import os
import re

from ..errors import KeyFileError, PrivacyError, RosterError
from ..rlwe_secret import SecretKey
from .files import load_secret, save_secret
from .folder import KeyFolder
from .grant import KeyGrant
from .grant_secret import issue_key, open_grant
from .roster import Roster

_KEY_KIND = "aggregation key"


class SiteFolder(KeyFolder):
    """The folder of a member; see `KeyFolder`."""

    def issue(self, roster: Roster, passphrase: str | None = None) -> KeyGrant:
        """Make the key of the roster that this party signed, as its issuer. Asked again, the same grant is given.

        Args:
            roster: a copy of the one signed here, with everybody's signatures.
            passphrase: of the folder.

        Raises:
            RosterError: not the roster signed here, signatures are missing, or another member is the issuer.
            KeyFileError: a key file cannot be used or written.
        """
        complete = self._signed().merged(roster)
        complete.verify()
        identity = self.identity(passphrase)
        known = self.grant()
        if known is not None and known.roster.sha256 == complete.sha256:
            return known
        grant, key = issue_key(identity, complete)
        self._save(key, passphrase)
        self._keep(grant)
        return grant

    def receive(self, grant: KeyGrant, passphrase: str | None = None) -> SecretKey:
        """Open a grant for the roster that this party signed, and put it in force.

        Raises:
            RosterError: it is old, for others, for another roster, or a second one for its epoch.
            PrivacyError: it cannot be opened.
            KeyFileError: a key file cannot be used or written.
        """
        self._check_not_old(grant)
        identity, signed = self.identity(passphrase), self.signed_roster()
        if signed is None:
            grant.roster.check_names(identity.public)
        key = open_grant(identity, grant, signed or self._signed())
        self._check_grant(grant)
        self._save(key, passphrase)
        self._keep(grant)
        return key

    def verify(self, passphrase: str | None = None) -> None:
        """Open and check all that is kept here, the aggregation keys too; see `KeyFolder.verify`."""
        super().verify(passphrase)
        for key_id in self.key_ids():
            self.retired_key(key_id, passphrase)

    def aggregation_key(self, passphrase: str | None = None) -> SecretKey:
        """The key in use.

        Raises:
            KeyFileError: there is none yet, or its file cannot be used.
        """
        grant = self.grant()
        if grant is None:
            raise KeyFileError(
                f"there is no aggregation key in {self.path} yet", hint="nasturtium keys receive opens a grant"
            )
        return self.retired_key(grant.key_id, passphrase)

    def retired_key(self, key_id: str, passphrase: str | None = None) -> SecretKey:
        """The key of an id, in use or not, to open sums that were made under it.

        Raises:
            KeyFileError: it is not here, or its file cannot be used.
        """
        if re.fullmatch(r"[0-9a-f]{32}", key_id) is None:
            raise KeyFileError(f"expected the id of a key, 32 hexadecimal digits, got {key_id!r:.80}")
        path = self.path / f"{key_id}.key"
        label, content = load_secret(path, _KEY_KIND, passphrase)
        try:
            key = SecretKey.from_bytes(content)
        except PrivacyError:
            key = None
        if key is None or not key.key_id == label == key_id:
            raise KeyFileError(f"{path} is damaged, or another key", hint="restore it from a copy")
        return key

    def _save(self, key: SecretKey, passphrase: str | None) -> None:
        path = self.path / f"{key.key_id}.key"
        if not os.path.lexists(path):
            save_secret(path, _KEY_KIND, key.key_id, key.to_bytes(), passphrase)
        self.retired_key(key.key_id, passphrase)  # what is there can be read again

    def _signed(self) -> Roster:
        roster = self.signed_roster()
        if roster is None:
            raise RosterError("no roster was signed here yet", hint="nasturtium keys sign ROSTER")
        return roster
