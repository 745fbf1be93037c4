"""What the coordinator gives back to a site that it admitted (`NAME.admission.json`).

It holds the site's client certificate, the authority that the coordinator's server is checked against, where the
server is, and who the coordinator is, signed by the coordinator's identity. Nothing in it is secret, and it is of use
to nobody but the holder of the site's transport key. It gives transport and no more: the aggregation key goes to the
roster that the sites sign among themselves.

Whoever can exchange the whole file under way can make itself the coordinator of this site. So the site compares the
coordinator's fingerprint, over another channel, before it keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509

from ...core import FormatError, NasturtiumError, canonical_json, check_header, parse_json
from ...privacy import Identity, PublicIdentity, write_file
from .application import read_text
from .certificates import (
    certified_key,
    check_authority,
    check_issued,
    common_name,
    fingerprint,
    parse_certificate,
    to_pem,
)
from .errors import AdmissionError
from .fields import Address, check_fields, format_instant, parse_address, parse_hex
from .transport_key import encode_point

ADMISSION_FORMAT: Final = "nasturtium.site-admission"
ADMISSION_VERSION: Final = 1
ADMISSION_DOMAIN: Final = "site admission v1"
MAX_ADMISSION: Final = 24_576  # letters
_FIELDS: Final = ("address", "authority", "authority_fingerprint", "certificate", "coordinator", "signature")
_SIGNATURE_BYTES: Final = 64
_AGAIN: Final = "send NAME.pub to the coordinator again and ask for a new admission"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A site's way in.

    Attributes:
        address: where the coordinator's front listens, by a name or address its certificate is for.
        authority: that the front's certificate is of.
        certificate: the site's, of that authority.
        coordinator: who admitted it.
        signature: of all that by the coordinator, 64 bytes.

    Raises:
        FormatError: the certificates do not belong together.
        SignatureError: something was changed.
    """

    address: Address
    authority: x509.Certificate
    certificate: x509.Certificate
    coordinator: PublicIdentity
    signature: bytes

    def __post_init__(self) -> None:
        check_authority(self.authority)
        check_issued(self.certificate, self.authority)
        certified_key(self.certificate)
        message = _message(self.address, self.authority, self.certificate)
        self.coordinator.verify(ADMISSION_DOMAIN, message, self.signature)

    @classmethod
    def make(
        cls, coordinator: Identity, address: Address, authority: x509.Certificate, certificate: x509.Certificate
    ) -> Self:
        """An admission by a coordinator."""
        signature = coordinator.sign(ADMISSION_DOMAIN, _message(address, authority, certificate))
        return cls(
            address=address,
            authority=authority,
            certificate=certificate,
            coordinator=coordinator.public,
            signature=signature,
        )

    @property
    def site(self) -> str:
        """The name of the site that is admitted."""
        return common_name(self.certificate)

    @property
    def expires(self) -> datetime:
        """Until when the site's certificate is good, UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def authority_fingerprint(self) -> str:
        """SHA-256 of the authority's certificate: 64 hexadecimal digits in groups of four."""
        return fingerprint(self.authority)

    def check(self, site: PublicIdentity, point: bytes, now: datetime) -> None:
        """Check that the admission is of use to a site.

        Args:
            site: its identity.
            point: its public transport key, 97 bytes.
            now: in UTC.

        Raises:
            AdmissionError: it is another's, for another key, not valid yet, or expired.
        """
        if self.site != site.name:
            raise AdmissionError(f"this admission is for the site {self.site}, and this is {site.name}", hint=_AGAIN)
        self.check_key(point)
        if now > self.expires:
            raise AdmissionError(f"the admission of {self.site} expired at {format_instant(self.expires)}", hint=_AGAIN)
        begins = self.certificate.not_valid_before_utc
        if now < begins:
            raise AdmissionError(
                f"the admission of {self.site} begins at {format_instant(begins)}, and this machine's clock says"
                f" {format_instant(now)}",
                hint="set the clock",
            )
        if now > self.authority.not_valid_after_utc:
            raise AdmissionError("the federation's authority expired", hint="ask the coordinator for a new admission")

    def check_key(self, point: bytes) -> None:
        """Check that the admission is for a transport key, 97 bytes.

        Raises:
            AdmissionError: it is for another.
        """
        if encode_point(certified_key(self.certificate)) != point:
            raise AdmissionError(f"this admission of {self.site} is for another transport key", hint=_AGAIN)

    def to_json(self) -> str:
        """The admission as one line of canonical JSON."""
        document: dict[str, Any] = {
            "format": ADMISSION_FORMAT,
            "version": ADMISSION_VERSION,
            "address": str(self.address),
            "authority": to_pem(self.authority),
            "authority_fingerprint": self.authority_fingerprint,
            "certificate": to_pem(self.certificate),
            "coordinator": self.coordinator.to_dict(),
            "signature": self.signature.hex(),
        }
        return canonical_json(document)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse and check JSON from outside.

        Raises:
            FormatError: no admission, of a newer version, with a field too many, too few or of the wrong form, or
                certificates that do not belong together.
            SignatureError: something in it was changed.
        """
        if len(text) > MAX_ADMISSION:
            raise FormatError(f"{ADMISSION_FORMAT}: expected at most {MAX_ADMISSION} letters, got {len(text)}")
        document = check_header(parse_json(text), ADMISSION_FORMAT, ADMISSION_VERSION)
        check_fields(document, ADMISSION_FORMAT, _FIELDS)
        size = range(_SIGNATURE_BYTES, _SIGNATURE_BYTES + 1)
        found = cls(
            address=parse_address(document["address"]),
            authority=parse_certificate(document["authority"], "an admission's authority"),
            certificate=parse_certificate(document["certificate"], "an admission's certificate"),
            coordinator=PublicIdentity.from_dict(document["coordinator"]),
            signature=parse_hex(document["signature"], size, "an admission's signature"),
        )
        if document["authority_fingerprint"] != found.authority_fingerprint:
            raise FormatError("an admission's authority_fingerprint is not that of its authority")
        if document["address"] != str(found.address):
            raise FormatError(f"an admission's address: expected {found.address}, got {document['address']!r:.100}")
        return found

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Write it for the site.

        Raises:
            KeyFileError: the file is there and not to be replaced, or it cannot be written.
        """
        write_file(path, self.to_json() + "\n", replace=replace)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of the coordinator's; `check` says whether it is of use here.

        Raises:
            ConfigError: it cannot be read.
            FormatError: it is no admission, or contradicts itself.
            SignatureError: it was changed.
        """
        hint = "it is what the coordinator sends back for NAME.pub; put it there"
        text = read_text(path, MAX_ADMISSION, hint=hint)
        try:
            return cls.from_json(text)
        except NasturtiumError as exc:
            raise type(exc)(f"{path}: {exc.message}", hint=exc.hint) from exc


def _message(address: Address, authority: x509.Certificate, certificate: x509.Certificate) -> bytes:
    return canonical_json([str(address), to_pem(authority), to_pem(certificate)]).encode()
