"""Who is admitted: the coordinator's list of sites, in one file that a running front watches.

A certificate opens the front while its serial number stands here and was not removed; that it was once issued is not
enough. So a removed site is out as soon as the file is written, and its name or key can be admitted again only under a
new serial number. Entries stay: the file says who was admitted when, and until when.

The file is replaced whole, under a lock, so that commands that run at the same time lose nothing of each other's, and a
reader never sees half of it. It holds nothing secret, but whoever can write to it admits whom they like: its folder is
its owner's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, cast

from ...core import ConfigError, FormatError, NasturtiumError, canonical_json, check_header, parse_json
from ...privacy import KeyFileError, PublicIdentity, read_file, write_file
from .fields import check_fields, format_instant, now_utc, parse_hex, parse_instant
from .transport_key import POINT_BYTES, node_key, public_key

if sys.platform != "win32":
    import fcntl

MEMBERS_FORMAT: Final = "nasturtium.members"
MEMBERS_VERSION: Final = 1
MAX_ENTRIES: Final = 8192  # with those that were removed
MAX_MEMBERS_BYTES: Final = 2048 * MAX_ENTRIES
_ENTRY_FIELDS: Final = {"identity", "transport_key", "serial", "expires", "admitted", "removed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A site that was admitted.

    Attributes:
        identity: who it is.
        transport_key: its public transport key, a point of P-384, 97 bytes.
        serial: of its certificate, > 0, of at most 20 bytes.
        expires: end of its certificate, UTC.
        admitted: when, UTC.
        removed: when, UTC; None: it is a member.

    Raises:
        FormatError: a field that is none of its kind.
    """

    identity: PublicIdentity
    transport_key: bytes
    serial: int
    expires: datetime
    admitted: datetime
    removed: datetime | None = None

    def __post_init__(self) -> None:
        public_key(self.transport_key)
        if not 0 < self.serial < 2**159:
            raise FormatError(f"the serial number of a certificate is in [1, 2**159), got {self.serial}")

    @property
    def name(self) -> str:
        """The site's name."""
        return self.identity.name

    @property
    def node_key(self) -> bytes:
        """The public key that Flower knows the site's node by, PEM."""
        return node_key(self.transport_key)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "identity": self.identity.to_dict(),
            "transport_key": self.transport_key.hex(),
            "serial": f"{self.serial:040x}",
            "expires": format_instant(self.expires),
            "admitted": format_instant(self.admitted),
            "removed": None if self.removed is None else format_instant(self.removed),
        }

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """Parse and check what `to_dict` made.

        Raises:
            FormatError: no member.
            SignatureError: an identity was changed.
        """
        fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        if set(fields) != _ENTRY_FIELDS:
            raise FormatError(
                f"a member has the fields {', '.join(sorted(_ENTRY_FIELDS))}, got {', '.join(fields):.200}"
            )
        removed = fields["removed"]
        return cls(
            identity=PublicIdentity.from_dict(fields["identity"]),
            transport_key=parse_hex(
                fields["transport_key"], range(POINT_BYTES, POINT_BYTES + 1), "a member's transport_key"
            ),
            serial=int.from_bytes(parse_hex(fields["serial"], range(20, 21), "a member's serial"), "big"),
            expires=parse_instant(fields["expires"], "a member's expires"),
            admitted=parse_instant(fields["admitted"], "a member's admitted"),
            removed=None if removed is None else parse_instant(removed, "a member's removed"),
        )


@dataclass(frozen=True, slots=True)
class MemberList:
    """All entries, oldest first.

    Raises:
        FormatError: two members share a name, an identity or a transport key, two entries a serial number, or there are
            more than 8192.
    """

    entries: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        if len(self.entries) > MAX_ENTRIES:
            raise FormatError(f"{MEMBERS_FORMAT}: expected at most {MAX_ENTRIES} entries, got {len(self.entries)}")
        members = self.members
        for what, values in (
            ("name", [member.name for member in members]),
            ("identity", [member.identity.id for member in members]),
            ("transport key", [member.transport_key for member in members]),
            ("serial number", [entry.serial for entry in self.entries]),
        ):
            if len(set(values)) != len(values):
                raise FormatError(f"{MEMBERS_FORMAT}: two entries have the same {what}")

    @property
    def members(self) -> tuple[Member, ...]:
        """Those that were not removed."""
        return tuple(entry for entry in self.entries if entry.removed is None)

    def named(self, name: str) -> Member | None:
        """The member of that name."""
        return next((member for member in self.members if member.name == name), None)

    def admit(self, member: Member) -> MemberList:
        """The list with one member more.

        Raises:
            ConfigError: a member has its name, its identity or its transport key already.
        """
        for each in self.members:
            for what, same in (
                ("name", each.name == member.name),
                ("identity", each.identity.id == member.identity.id),
                ("transport key", each.transport_key == member.transport_key),
            ):
                if same:
                    raise ConfigError(
                        f"{member.name} cannot be admitted: the {what} is that of the member {each.name}",
                        hint=f"remove {each.name} first if this is to take its place",
                    )
        if len(self.entries) >= MAX_ENTRIES:
            raise ConfigError(f"the list of members is full: {MAX_ENTRIES} entries", hint="begin a new folder")
        return MemberList((*self.entries, member))

    def readmit(self, member: Member) -> MemberList:
        """The list with a new certificate in the place of the one the same site had.

        Raises:
            ConfigError: no such site is a member.
        """
        return self.remove(member.name, member.admitted).admit(member)

    def remove(self, name: str, now: datetime) -> MemberList:
        """The list without the member of that name.

        Raises:
            ConfigError: there is none.
        """
        if self.named(name) is None:
            known = ", ".join(member.name for member in self.members) or "nobody"
            raise ConfigError(f"{name} is not a member", hint=f"members: {known:.300}")
        return MemberList(
            tuple(
                replace(entry, removed=now) if entry.name == name and entry.removed is None else entry
                for entry in self.entries
            )
        )

    def to_json(self) -> str:
        """The list as one line of canonical JSON."""
        return canonical_json(
            {"format": MEMBERS_FORMAT, "version": MEMBERS_VERSION, "members": [each.to_dict() for each in self.entries]}
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse and check what `to_json` made.

        Raises:
            FormatError: no list, of a newer version, or one that contradicts itself.
            SignatureError: an identity in it was changed.
        """
        document = check_header(parse_json(text), MEMBERS_FORMAT, MEMBERS_VERSION)
        check_fields(document, MEMBERS_FORMAT, ("members",))
        entries = document["members"]
        if not isinstance(entries, list) or len(cast(list[object], entries)) > MAX_ENTRIES:
            raise FormatError(f"{MEMBERS_FORMAT}: expected 'members' as a list of at most {MAX_ENTRIES}")
        return cls(tuple(Member.from_dict(entry) for entry in cast(list[object], entries)))


class Members:
    """The file of the list.

    Args:
        path: of the file, in a folder that is there and its owner's; without the file, nobody was admitted yet.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def read(self) -> MemberList:
        """The list as it is now.

        Raises:
            KeyFileError: the file cannot be read or is damaged.
        """
        if not os.path.lexists(self.path):
            return MemberList()
        try:
            return MemberList.from_json(read_file(self.path, MAX_MEMBERS_BYTES, secret=False))
        except KeyFileError:
            raise
        except NasturtiumError as exc:
            raise KeyFileError(f"{self.path} is damaged: {exc.message}", hint="restore it from a copy") from exc

    def admit(self, member: Member) -> None:
        """Add a member, at once for a running front, too.

        Raises:
            ConfigError: see `MemberList.admit`.
            KeyFileError: the file cannot be read, written or locked.
        """
        self._change(lambda members: members.admit(member))

    def readmit(self, member: Member) -> None:
        """Put a new certificate of a member in the place of the one it had; at no time is it none.

        Raises:
            ConfigError: no such site is a member.
            KeyFileError: the file cannot be read, written or locked.
        """
        self._change(lambda members: members.readmit(member))

    def remove(self, name: str, now: datetime | None = None) -> Member:
        """Remove a member: the front drops its connections and takes no new ones.

        Returns:
            The entry that was removed.

        Raises:
            ConfigError: there is none of that name.
            KeyFileError: the file cannot be read, written or locked.
        """
        instant = now or now_utc()
        changed = self._change(lambda members: members.remove(name, instant))
        return next(entry for entry in reversed(changed.entries) if entry.name == name)

    def _change(self, change: Callable[[MemberList], MemberList]) -> MemberList:
        with self._lock():
            changed = change(self.read())
            write_file(self.path, changed.to_json() + "\n", replace=True)
        return changed

    @contextmanager
    def _lock(self) -> Generator[None]:
        """One change at a time; the file of the lock stays, as a new one would lock nobody out."""
        try:
            descriptor = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as exc:
            raise KeyFileError(f"cannot lock {self.path}: {exc.strerror}", hint="check its folder") from exc
        try:
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class MembersWatch:
    """The list as the front sees it: read again whenever its file was replaced.

    While the file cannot be read nobody is admitted, since nobody can say who was removed.

    Args:
        members: the file.
    """

    def __init__(self, members: Members) -> None:
        self._file = members
        self._stamp: tuple[int, int, int] | None = (-1, -1, -1)  # of no file
        self._by_serial: dict[int, Member] = {}
        self.problem: NasturtiumError | None = None

    def refresh(self) -> bool:
        """Look whether the file was replaced; it costs a `stat`.

        Returns:
            Whether there may be other members than before.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._by_serial = {member.serial: member for member in self._file.read().members}
            self.problem = None
        except NasturtiumError as exc:
            self._by_serial, self.problem = {}, exc
        return True

    def member(self, serial: int) -> Member | None:
        """The member with a certificate of that serial number, as of the last `refresh`."""
        return self._by_serial.get(serial)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
