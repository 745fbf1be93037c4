"""The folder in which a party keeps its keys, and what it signed and received.

    identity.key        the private keys, mode 0600
    identity.pub.json   the public identity, to give away
    roster-<epoch>.json the roster this party signed for that epoch
    grant-<epoch>.json  the grant it received; the one of the highest epoch is in force
    received.json       epoch and key id of the newest grant it ever received
    <key id>.key        aggregation keys, mode 0600; of sites only

Epochs only go up: a roster or grant that is older than what is here, or another one for the same epoch, is refused.
Nothing in force is replaced; retired keys and grants stay, for the sums that were made under them. A grant that is lost
does not put the one before it in force: nothing is, until it is received again. The folder is its owner's alone to
write to. This module opens no aggregation key, so a coordinator, which has an identity too, can use it; sites use
`folder_secret.SiteFolder`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

from ...core import ConfigError, FormatError, NasturtiumError
from ..errors import KeyFileError, RosterError
from .files import (
    MIN_PASSPHRASE,
    WrongPassphraseError,
    check_passphrase,
    is_protected,
    load_secret,
    read_file,
    save_secret,
    write_file,
)
from .grant import MAX_GRANT_BYTES, KeyGrant
from .identity import MAX_IDENTITY_BYTES, PublicIdentity, check_name
from .identity_secret import SECRET_BYTES, Identity
from .received import Received, read_received, write_received
from .roster import MAX_ROSTER_BYTES, Roster

_IDENTITY_KIND: Final = "identity"

_Document = TypeVar("_Document")


class KeyFolder:
    """A party's folder; nothing is read before it is asked for.

    Args:
        path: the folder. `create` makes one.

    Raises:
        KeyFileError: it is none, or others can write to it.

    Attributes:
        min_passphrase: letters that a new passphrase must have.
    """

    min_passphrase: ClassVar = MIN_PASSPHRASE

    def __init__(self, path: Path) -> None:
        try:
            status = path.stat()
            path.joinpath("identity.key").lstat()
        except OSError:
            raise KeyFileError(
                f"there is no identity in {path}", hint=f"make one: nasturtium keys init NAME --keys {path}"
            ) from None
        _check_mode(path, status)
        self.path: Final = path

    @classmethod
    def create(cls, path: Path, name: str, passphrase: str | None = None) -> Self:
        """Make a new identity in a folder, which is made where there is none.

        Args:
            path: the folder; it has no identity yet.
            name: of the party, see `PublicIdentity`.
            passphrase: for all private keys in the folder; None: only the files' mode protects them.

        Raises:
            ConfigError: no name of a party, or no passphrase that protects anything.
            KeyFileError: there is an identity, or the folder cannot be made or written to.
        """
        try:
            check_name(name)
        except FormatError as exc:
            raise ConfigError(exc.message, hint=exc.hint) from None
        if passphrase is not None:
            check_passphrase(passphrase)
        key = path / "identity.key"
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_mode(path, path.stat())
            empty = not any(path.iterdir())
        except OSError as exc:
            raise KeyFileError(f"cannot use the folder {path}: {exc.strerror}", hint="name another one") from exc
        if os.path.lexists(key):
            raise KeyFileError(
                f"there is an identity in {path} already",
                hint="a lost one cannot be made again: move it away only if no roster needs it",
            )
        if empty:
            write_file(path / ".gitignore", "*\n", replace=True)  # keys in a repository are no secret
        identity = Identity.generate(name)
        save_secret(key, _IDENTITY_KIND, identity.public.id, identity.secret_bytes() + name.encode(), passphrase)
        folder = cls(path)
        folder._publish(identity)
        return folder

    @property
    def protected(self) -> bool:
        """Whether the private keys are under a passphrase.

        Raises:
            KeyFileError: the identity cannot be read.
        """
        return is_protected(self.path / "identity.key", _IDENTITY_KIND)

    def opens(self, passphrase: str) -> bool:
        """Whether the identity can be opened with this passphrase.

        Raises:
            KeyFileError: it could not be with any.
        """
        try:
            load_secret(self.path / "identity.key", _IDENTITY_KIND, passphrase)
        except WrongPassphraseError:
            return False
        return True

    def public(self) -> PublicIdentity:
        """The public identity, without a passphrase.

        Raises:
            KeyFileError: its file is missing or damaged; `identity` makes it again.
        """
        return _read(
            self.path / "identity.pub.json",
            PublicIdentity.from_json,
            MAX_IDENTITY_BYTES,
            hint="delete it: nasturtium keys verify makes it again",
        )

    def identity(self, passphrase: str | None = None) -> Identity:
        """The identity with its private keys; a public file that is missing is made again.

        Raises:
            KeyFileError: the file is damaged or others can read it, the passphrase is not the one, or the public file
                is another identity's.
        """
        path = self.path / "identity.key"
        label, content = load_secret(path, _IDENTITY_KIND, passphrase)
        try:
            identity = Identity(content[SECRET_BYTES:].decode(), content[:SECRET_BYTES])
        except (NasturtiumError, UnicodeDecodeError):
            identity = None
        if identity is None or identity.public.id != label:
            raise KeyFileError(f"{path} is damaged", hint="restore it from a copy")
        if not os.path.lexists(self.path / "identity.pub.json"):
            self._publish(identity)
        if self.public().id != label:
            raise KeyFileError(
                f"identity.key and identity.pub.json in {self.path} are of two identities",
                hint="delete identity.pub.json if the key is the right one: nasturtium keys verify makes it again",
            )
        return identity

    def signed_roster(self) -> Roster | None:
        """The newest roster this party signed, with the signatures it then had; None if it signed none.

        Raises:
            KeyFileError: its file is damaged.
        """
        files = self._epochs("roster")
        return self._roster(files[max(files)]) if files else None

    def grant(self) -> KeyGrant | None:
        """The grant in force; None if there is none yet.

        Raises:
            KeyFileError: its file is damaged, or missing although it was received.
        """
        known, received = self._newest_grant(), self._received()
        if received is not None and (known is None or known.roster.epoch < received.epoch):
            what = (
                f"a key of epoch {received.epoch} is here"
                if received.key_id in self.key_ids()
                else f"epoch {received.epoch} was in force here"
            )
            raise KeyFileError(
                f"{what} and its grant is missing: receive it again",
                hint=f"nasturtium keys receive GRANT; every party of epoch {received.epoch} has a copy of it, also as"
                f" grant-{received.epoch}.json in its folder",
            )
        return known

    def retired_key_ids(self) -> tuple[str, ...]:
        """Ids of the keys that were in force before the grant that is, oldest first; not all need be kept here.

        Raises:
            KeyFileError: a grant's file is damaged.
        """
        return tuple(self._grant(path).key_id for _, path in sorted(self._epochs("grant").items())[:-1])

    def key_ids(self) -> tuple[str, ...]:
        """Ids of the aggregation keys that are kept here, in use or retired; their files are not opened."""
        names = (path.name for path in self.path.iterdir())
        return tuple(sorted(name[:-4] for name in names if re.fullmatch(r"[0-9a-f]{32}\.key", name)))

    def verify(self, passphrase: str | None = None) -> None:
        """Open and check all that is kept here.

        Raises:
            KeyFileError: something is damaged, missing, readable by others, under another passphrase, or another
                party's.
            RosterError: a grant does not follow the one before.
        """
        own = self.identity(passphrase).public
        self.grant()
        for path in self._epochs("roster").values():
            self._roster(path)
        before: KeyGrant | None = None
        for _, path in sorted(self._epochs("grant").items()):
            grant = self._grant(path)
            if before is not None:
                grant.roster.check_follows(before.roster)
            before = grant
        roster = before.roster if before is not None else self.signed_roster()
        if roster is not None and own not in (*roster.members, roster.coordinator):
            raise KeyFileError(
                f"the identity in {self.path} is that of {own.name}, id {own.id}, who is not in the roster of epoch"
                f" {roster.epoch} here",
                hint="another party's identity was put there: restore identity.key and identity.pub.json from a copy",
            )
        if before is not None and self._is_member(before.roster) and before.key_id not in self.key_ids():
            raise KeyFileError(
                f"the key of the grant in force, {before.key_id}, is not in {self.path}",
                hint=f"receive grant-{before.roster.epoch}.json of that folder again",
            )

    def sign(self, roster: Roster, passphrase: str | None = None, *, replace: bool = False) -> Roster:
        """Sign a roster whose fingerprint was compared with the other members', and keep it.

        Args:
            roster: that names this party as a member.
            passphrase: of the folder.
            replace: sign although another roster for the epoch was signed here; that signature cannot be taken back,
                but only a grant for the roster signed last will be opened.

        Returns:
            The roster with this party's signature.

        Raises:
            RosterError: this party is not a member, or the roster is old, a second one for its epoch, or of another
                history than the one signed before.
            KeyFileError: a key file cannot be used or written.
        """
        signed = roster.signed(self.identity(passphrase))
        self._check_follows(signed, replace=replace)
        write_file(self.path / f"roster-{roster.epoch}.json", signed.to_json() + "\n", replace=True)
        return signed

    def follow(self, grant: KeyGrant) -> None:
        """Keep a grant as the coordinator it names: whom to expect, under which key id.

        Raises:
            RosterError: another coordinator is named, or the grant is old, a second one for its epoch, or of another
                history than the one in force.
            KeyFileError: it cannot be written.
        """
        coordinator = grant.roster.coordinator
        if coordinator is None or coordinator.id != self.public().id:
            name, epoch = self.public().name, grant.roster.epoch
            if coordinator is None:
                raise RosterError(
                    f"the grant of epoch {epoch} names no coordinator, and {name} is not a member",
                    hint="a member drafts a roster that names one: nasturtium keys rotate --coordinator",
                )
            raise RosterError(
                f"{name} is not the coordinator that the roster of epoch {epoch} names: {coordinator.name} is, under"
                f" the id {coordinator.id}",
                hint="a member drafts a roster that names another one: nasturtium keys rotate --coordinator",
            )
        self._check_grant(grant)
        self._keep(grant)

    def _keep(self, grant: KeyGrant) -> None:
        """Put a grant in force that `_check_grant` let through."""
        path = self.path / f"grant-{grant.roster.epoch}.json"
        if not os.path.lexists(path):
            write_file(path, grant.to_json() + "\n", replace=False)
        received = self._received()
        if received is None or received.epoch < grant.roster.epoch:
            write_received(self.path / "received.json", Received(epoch=grant.roster.epoch, key_id=grant.key_id))

    def _check_grant(self, grant: KeyGrant) -> None:
        """Check that a grant is the one in force or may follow it.

        Raises:
            RosterError: it is old, a second one for its epoch, or of another history.
        """
        self._check_not_old(grant)
        known, received = self._newest_grant(), self._received()
        if known is not None:
            grant.roster.check_follows(known.roster)
        # What was received counts, too: its grant may be lost, and this one come in its place.
        for epoch, key_id in (
            *([(known.roster.epoch, known.key_id)] if known else []),
            *([(received.epoch, received.key_id)] if received else []),
        ):
            if grant.roster.epoch == epoch and grant.key_id != key_id:
                raise RosterError(
                    f"a second key for epoch {epoch}: {grant.key_id}, and {key_id} is in force",
                    hint="a new key needs a new roster: nasturtium keys rotate",
                )

    def _check_not_old(self, grant: KeyGrant) -> None:
        """Told before anything else is: an old grant is late, and no sign of an exchanged key."""
        known, received = self._newest_grant(), self._received()
        newest = max(known.roster.epoch if known else 0, received.epoch if received else 0)
        if grant.roster.epoch < newest:
            raise RosterError(
                f"an old grant: it is of epoch {grant.roster.epoch}, and epoch {newest} is in force",
                hint="nothing is to be done; ask for the newest grant if another one was meant",
            )

    def _check_follows(self, roster: Roster, *, replace: bool) -> None:
        known = {epoch: self._roster(path) for epoch, path in self._epochs("roster").items()}
        if (grant := self.grant()) is not None:
            known[grant.roster.epoch] = grant.roster
        for epoch, each in sorted(known.items(), reverse=True):
            may_replace = replace and epoch == roster.epoch and (grant is None or epoch > grant.roster.epoch)
            if not may_replace:
                roster.check_follows(each)

    def _is_member(self, roster: Roster) -> bool:
        own = self.public().id
        return any(member.id == own for member in roster.members)

    def _newest_grant(self) -> KeyGrant | None:
        files = self._epochs("grant")
        return self._grant(files[max(files)]) if files else None

    def _received(self) -> Received | None:
        return read_received(self.path / "received.json")

    def _publish(self, identity: Identity) -> None:
        write_file(self.path / "identity.pub.json", identity.public.to_json() + "\n", replace=True)

    def _roster(self, path: Path) -> Roster:
        return _read(path, Roster.from_json, MAX_ROSTER_BYTES, hint="restore it from a copy")

    def _grant(self, path: Path) -> KeyGrant:
        return _read(path, KeyGrant.from_json, MAX_GRANT_BYTES, hint="move it away and receive the grant again")

    def _epochs(self, what: str) -> Mapping[int, Path]:
        """The files of rosters or grants by epoch."""
        form = re.compile(rf"{what}-([1-9][0-9]{{0,9}})\.json")
        found = ((form.fullmatch(path.name), path) for path in self.path.iterdir())
        return {int(match[1]): path for match, path in found if match}


def _check_mode(path: Path, status: os.stat_result) -> None:
    """Refuse a folder in which others could exchange files."""
    if os.name == "posix" and status.st_mode & 0o022:
        raise KeyFileError(f"others than its owner can write to {path}", hint=f"chmod go-w {path}")


def _read(path: Path, parse: Callable[[str], _Document], max_bytes: int, *, hint: str) -> _Document:
    """What is in a file of the folder.

    Raises:
        KeyFileError: it is missing or damaged; `hint` says what to do about damage.
    """
    try:
        return parse(read_file(path, max_bytes, secret=False))
    except KeyFileError:
        raise
    except NasturtiumError as exc:
        raise KeyFileError(f"{path} is damaged: {exc.message}", hint=hint) from exc
