"""X.509 certificates of a federation: its own authority, the coordinator's server, a client for each site.

    authority   CA:TRUE, pathlen 0, signs certificates and nothing else; ten years
    server      serverAuth alone, the coordinator's names and addresses; ninety days, renewed when thirty are left
    client      clientAuth alone, a site's name and transport key; two years

All keys are P-384, signatures ECDSA with SHA-384, serial numbers 159 random bits. Certificates begin an hour before
they are made, for clocks that are late, and none outlives its authority.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ...core import ConfigError, FormatError
from .fields import is_host, is_ip

AUTHORITY_LIFE: Final = timedelta(days=3652)
SERVER_LIFE: Final = timedelta(days=90)
CLIENT_LIFE: Final = timedelta(days=730)
MAX_PEM: Final = 8192  # letters; ours need about a tenth
MAX_HOSTS: Final = 64
_SKEW: Final = timedelta(hours=1)
_COMMON_NAME_LETTERS: Final = 64  # by X.520
_BROKEN: Final = (  # how `cryptography` tells that bytes are no certificate it knows; it looks at parts when asked
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)


def make_authority(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    """The certificate of a new authority, signed by itself.

    Args:
        key: the authority's, P-384.
        name: of the coordinator.
        now: in UTC.
    """
    subject = _subject(f"{name:.40} nasturtium authority")
    usage = _usage(sign_certificates=True)
    return (
        _builder(key.public_key(), subject, subject, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA384())
    )


def issue_server(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    subject_key: ec.EllipticCurvePublicKey,
    hosts: Sequence[str],
    now: datetime,
    life: timedelta = SERVER_LIFE,
) -> x509.Certificate:
    """A certificate for the coordinator's server.

    Args:
        authority: that issues it.
        key: the authority's.
        subject_key: the server's.
        hosts: DNS names and IP addresses, 1 to 64, under which sites reach it.
        now: in UTC.
        life: how long it is good, unless the authority ends before.

    Raises:
        ConfigError: no host, too many, or one that is none.
    """
    if not 1 <= len(hosts) <= MAX_HOSTS or not all(is_host(host) for host in hosts):
        raise ConfigError(
            f"expected 1 to {MAX_HOSTS} names or IP addresses of the coordinator, got {list(hosts)!r:.200}",
            hint="as sites will reach it, without a port: fl.example.org",
        )
    names = [x509.IPAddress(ipaddress.ip_address(host)) if is_ip(host) else x509.DNSName(host) for host in hosts]
    return (
        _leaf(authority, subject_key, _subject(hosts[0]), now, life, ExtendedKeyUsageOID.SERVER_AUTH)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA384())
    )


def issue_client(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    subject_key: ec.EllipticCurvePublicKey,
    name: str,
    now: datetime,
) -> x509.Certificate:
    """A certificate for the site `name`, whose transport key is `subject_key`; see `issue_server`."""
    return _leaf(authority, subject_key, _subject(name), now, CLIENT_LIFE, ExtendedKeyUsageOID.CLIENT_AUTH).sign(
        key, hashes.SHA384()
    )


def check_issued(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Check that an authority issued a certificate.

    Raises:
        FormatError: it did not.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except _BROKEN:
        raise FormatError(
            "a certificate is not of the authority it comes with", hint="it was changed: ask the coordinator for it"
        ) from None


def check_authority(certificate: x509.Certificate) -> None:
    """Check that a certificate is an authority's, signed by itself, with a P-384 key.

    Raises:
        FormatError: it is not.
    """
    check_issued(certificate, certificate)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except _BROKEN:
        constraints = None
    if constraints is None or not constraints.ca or constraints.path_length != 0:
        raise FormatError("a certificate is no federation's authority: expected CA:TRUE, pathlen:0")
    certified_key(certificate)


def certified_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The public key in a certificate.

    Raises:
        FormatError: it is not on P-384.
    """
    try:
        key = certificate.public_key()
    except _BROKEN:
        key = None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return key
    raise FormatError("the key of a certificate is not on the curve P-384")


def common_name(certificate: x509.Certificate) -> str:
    """Whom a certificate names; empty if nobody."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def certified_hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses a server's certificate is for, in its order."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate for people to compare: 64 hexadecimal digits in groups of four."""
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))


def to_pem(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(Encoding.PEM).decode()


def parse_certificate(value: object, what: str) -> x509.Certificate:
    """The one certificate in a PEM text, which is exactly what `to_pem` writes.

    Raises:
        FormatError: anything else.
    """
    if isinstance(value, str) and len(value) <= MAX_PEM and value.isascii():
        try:
            with warnings.catch_warnings():
                # What a later release will refuse is refused today.
                warnings.simplefilter("error", CryptographyDeprecationWarning)
                certificate = x509.load_pem_x509_certificate(value.encode())
                _ = certificate.subject, certificate.extensions, certificate.public_key()
            if to_pem(certificate) == value:
                return certificate
        except _BROKEN:
            pass
    raise FormatError(f"{what}: expected a certificate as PEM, of at most {MAX_PEM} letters")


def _leaf(
    authority: x509.Certificate,
    subject_key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    now: datetime,
    life: timedelta,
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    end = min(now + life, authority.not_valid_after_utc)
    if end <= now:
        raise ConfigError(
            f"the federation's authority expired at {end}",
            hint="make a new coordinator folder and admit the sites anew",
        )
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject_key, subject, authority.subject, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _builder(
    subject_key: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(subject_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_LETTERS])])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
