"""The coordinator's own certificate authority, and the folder it lives in.

    ca.key         the authority's private key, mode 0600
    ca.pem         its certificate; every admission holds it
    server.pem     private key and certificate of the front, mode 0600; made anew before the certificate expires
    members.json   who is admitted

Whoever has `ca.key` can pass for the coordinator's front, and make certificates that look like sites'. It still does
not get in with those: the front also asks for the serial number in `members.json`. It reads no update (these are
encrypted for sites), and forges none (these are signed by identities). The folder must be its owner's. No passphrase
protects these keys, as the coordinator renews its certificate by itself.

Sites trust the authority with one thing: to say which server is the coordinator's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509

from ...core import ConfigError, FormatError
from ...privacy import Identity, KeyFileError, PublicIdentity, read_file, write_file
from .admission import Admission
from .application import Application
from .certificates import (
    MAX_PEM,
    SERVER_LIFE,
    certified_hosts,
    certified_key,
    check_authority,
    check_issued,
    fingerprint,
    issue_client,
    issue_server,
    make_authority,
    parse_certificate,
    to_pem,
)
from .fields import Address, canonical_host, format_instant, is_host, now_utc
from .members import Member, Members
from .transport_key import TransportKey, encode_point, public_key

RENEW_BEFORE: Final = SERVER_LIFE / 3


class Authority:
    """The authority in a folder; `create` makes one.

    Args:
        folder: where it is.
        clock: what time it is, UTC.

    Raises:
        KeyFileError: there is none, it is damaged, or the folder is not its owner's alone to write to.

    Attributes:
        folder: where it is.
        certificate: its own.
        members: who is admitted.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = now_utc) -> None:
        _check_folder(folder)
        self.folder: Final = folder
        self._clock = clock
        self._key = TransportKey.load(folder / "ca.key")
        try:
            self.certificate: Final = parse_certificate(read_file(folder / "ca.pem", MAX_PEM, secret=False), "ca.pem")
            check_authority(self.certificate)
        except FormatError as exc:
            raise KeyFileError(f"{folder / 'ca.pem'}: {exc.message}", hint="restore it from a copy") from exc
        if encode_point(certified_key(self.certificate)) != self._key.point:
            raise KeyFileError(f"ca.key and ca.pem in {folder} are of two authorities", hint="restore them from a copy")
        self.members: Final = Members(folder / "members.json")

    @classmethod
    def create(cls, folder: Path, name: str, hosts: Sequence[str], *, clock: Callable[[], datetime] = now_utc) -> Self:
        """Make an authority and the certificate of its server.

        Args:
            folder: made where there is none; it holds no authority yet.
            name: of the coordinator.
            hosts: names and IP addresses under which sites reach it.
            clock: see `Authority`.

        Raises:
            ConfigError: no host, or one that is none.
            KeyFileError: there is an authority, or the folder cannot be used.
        """
        hosts = _check_hosts(hosts)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            empty = not any(folder.iterdir())
        except OSError as exc:
            raise KeyFileError(f"cannot use the folder {folder}: {exc.strerror}", hint="name another one") from exc
        _check_folder(folder)
        if os.path.lexists(folder / "ca.key"):
            raise KeyFileError(
                f"there is an authority in {folder} already",
                hint="with another one, all sites need a new admission: move it away only if that is meant",
            )
        if empty:
            write_file(folder / ".gitignore", "*\n", replace=True)  # keys in a repository are no secret
        key = TransportKey.generate()
        key.save(folder / "ca.key")
        write_file(folder / "ca.pem", to_pem(make_authority(key.private, name, clock())), replace=True)
        authority = cls(folder, clock=clock)
        authority.renew_server(hosts)
        return authority

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate for people to compare."""
        return fingerprint(self.certificate)

    @property
    def server_file(self) -> Path:
        """Private key and certificate of the server, PEM; `ssl.SSLContext.load_cert_chain` reads it."""
        return self.folder / "server.pem"

    def server_certificate(self) -> x509.Certificate:
        """The certificate of the server.

        Raises:
            KeyFileError: it cannot be read, is damaged, or is another authority's.
        """
        text = read_file(self.server_file, 2 * MAX_PEM, secret=True)
        begin = text.find("-----BEGIN CERTIFICATE-----")
        try:
            certificate = parse_certificate(text[max(begin, 0) :], "its end")
            check_issued(certificate, self.certificate)
        except FormatError as exc:
            raise KeyFileError(f"{self.server_file} is damaged: {exc.message}", hint="restore it from a copy") from exc
        return certificate

    def hosts(self) -> tuple[str, ...]:
        """Under which names and addresses sites reach the server, as its certificate says."""
        return certified_hosts(self.server_certificate())

    def renew_server(self, hosts: Sequence[str] | None = None) -> bool:
        """Make a new key and certificate for the server, if there is none, it is for other hosts, or it soon expires.

        Args:
            hosts: under which sites reach it; None: those it has.

        Returns:
            Whether it did.

        Raises:
            ConfigError: no host, one that is none, or the authority itself expired.
            KeyFileError: the file cannot be read or written.
        """
        if hosts is not None:
            hosts = _check_hosts(hosts)
        now = self._clock()
        if os.path.lexists(self.server_file):
            certificate = self.server_certificate()
            known = certified_hosts(certificate)
            fresh = certificate.not_valid_after_utc - now > RENEW_BEFORE
            # The last one of all ends with the authority, and no other would last longer.
            last = certificate.not_valid_after_utc >= self.certificate.not_valid_after_utc > now
            if (fresh or last) and (hosts is None or hosts == known):
                return False
            hosts = known if hosts is None else hosts
        if hosts is None:
            raise KeyFileError(f"there is no {self.server_file}", hint="name the hosts the coordinator is reached by")
        key = TransportKey.generate()
        certificate = issue_server(self.certificate, self._key.private, public_key(key.point), hosts, now)
        # One file, so that key and certificate are never of two makes.
        write_file(self.server_file, key.pem() + to_pem(certificate), replace=True)
        return True

    def admit(self, application: Application, coordinator: Identity, address: Address) -> Admission:
        """Admit a site whose fingerprint was compared: certify its transport key and put it on the list.

        Args:
            application: the site's.
            coordinator: signs the admission.
            address: where sites find the front; its host is one the server's certificate is for.

        Raises:
            ConfigError: the server's certificate is not for the address, or a member has the site's name, identity or
                key.
            KeyFileError: a file cannot be read or written.
        """
        admission, member = self._certify(application.identity, application.transport_key, coordinator, address)
        self.members.admit(member)
        return admission

    def readmit(self, name: str, coordinator: Identity, address: Address) -> Admission:
        """Give a member a new certificate for the keys it has, before its own expires; that one stops working at once.

        Raises:
            ConfigError: no such member, or an address the server's certificate is not for.
            KeyFileError: a file cannot be read or written.
        """
        member = self.members.read().named(name)
        if member is None:
            raise ConfigError(f"{name} is not a member", hint="admit it with the file it sent")
        admission, renewed = self._certify(member.identity, member.transport_key, coordinator, address)
        self.members.readmit(renewed)
        return admission

    def _certify(
        self, site: PublicIdentity, point: bytes, coordinator: Identity, address: Address
    ) -> tuple[Admission, Member]:
        hosts = self.hosts()
        if canonical_host(address.host) not in hosts:
            raise ConfigError(
                f"the server's certificate is not for {address.host}, but for {', '.join(hosts):.200}",
                hint="name one of these, or make it anew with this host, too",
            )
        now = self._clock()
        certificate = issue_client(self.certificate, self._key.private, public_key(point), site.name, now)
        member = Member(
            identity=site,
            transport_key=point,
            serial=certificate.serial_number,
            expires=certificate.not_valid_after_utc,
            admitted=now,
        )
        return Admission.make(coordinator, address, self.certificate, certificate), member

    def __repr__(self) -> str:
        return f"Authority({self.folder}, until {format_instant(self.certificate.not_valid_after_utc)})"


def _check_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """Names and addresses as certificates write them."""
    found = tuple(canonical_host(host) for host in hosts if is_host(host))
    if not found or len(set(found)) != len(hosts):
        raise ConfigError(
            f"expected the names or IP addresses under which sites reach the coordinator, got {list(hosts)!r:.200}",
            hint="without a port, each once: fl.example.org",
        )
    return found


def _check_folder(folder: Path) -> None:
    try:
        status = folder.stat()
    except OSError as exc:
        raise KeyFileError(
            f"there is no folder {folder}", hint="make one: nasturtium federate init coordinator --host HOST"
        ) from exc
    if os.name == "posix" and (status.st_mode & 0o022 or status.st_uid not in (os.geteuid(), 0)):
        raise KeyFileError(
            f"others than its owner can write to {folder}", hint=f"chmod go-w {folder}, and be its owner"
        )
