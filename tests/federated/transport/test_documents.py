"""What sites and coordinator exchange: read back as written, and refused when anything in it was changed."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, NasturtiumError
from nasturtium.federated.transport import (
    Address,
    Admission,
    AdmissionError,
    Application,
    Authority,
    Member,
    MemberList,
    Members,
    TransportKey,
    parse_address,
)
from nasturtium.privacy import KeyFileError, SignatureError

from .conftest import make_identity, make_site

IDENTITIES = [make_identity(f"site-{number}").public for number in range(4)]
KEYS = [TransportKey.generate() for _ in range(4)]
SITE, OTHER = make_site("a"), make_site("b")
INSTANTS = st.datetimes(datetime(2001, 1, 1), datetime(9998, 1, 1)).map(
    lambda value: value.replace(microsecond=0, tzinfo=UTC)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def member_lists(draw: st.DrawFn) -> MemberList:
    """Members one after another, some of whom were removed or certified anew."""
    members = MemberList()
    serials = draw(st.lists(st.integers(1, 2**159 - 1), min_size=6, max_size=6, unique=True))
    for number, serial in enumerate(serials):
        who = number % 4
        if members.named(f"site-{who}") is not None:
            members = members.remove(f"site-{who}", draw(INSTANTS))
        member = Member(
            identity=IDENTITIES[who],
            transport_key=KEYS[who].point,
            serial=serial,
            expires=draw(INSTANTS),
            admitted=draw(INSTANTS),
        )
        members = members.admit(member)
    return members


@given(member_lists())
@settings(max_examples=30, deadline=None)
def test_a_list_of_members_is_read_as_it_was_written(members):
    assert MemberList.from_json(members.to_json()) == members
    assert len(members.members) == 4
    assert len(members.entries) == 6


def test_an_application_is_read_as_it_was_written(tmp_path):
    SITE.application.write(tmp_path / "a.pub")
    assert Application.read(tmp_path / "a.pub").identity == SITE.identity.public
    assert Application.read(tmp_path / "a.pub").transport_key == SITE.key.point
    with pytest.raises(KeyFileError, match="there already"):
        SITE.application.write(tmp_path / "a.pub")


def test_an_admission_is_read_as_it_was_written(tmp_path, site):
    site.admission.write(tmp_path / "a.admission.json")
    again = Admission.read(tmp_path / "a.admission.json")
    assert again == site.admission
    assert (again.site, again.address, again.coordinator.name) == (
        "hospital-a",
        Address("localhost", 8443),
        "coordinator",
    )


PARSERS = [Application.from_json, Admission.from_json, MemberList.from_json]


@pytest.mark.parametrize("parse", PARSERS)
@given(document=JSON)
@settings(max_examples=50, deadline=None)
def test_what_is_no_document_is_refused(parse, document):
    with pytest.raises(FormatError):
        parse(json.dumps(document))


@given(where=st.integers(0), letter=st.characters(codec="ascii"))
@settings(max_examples=200, deadline=None)
def test_no_letter_of_an_application_can_be_changed(where, letter):
    text = SITE.application.to_json()
    where %= len(text)
    changed = text[:where] + letter + text[where + 1 :]
    if changed != text:
        with pytest.raises(NasturtiumError):
            Application.from_json(changed)


@given(where=st.integers(0), letter=st.characters(codec="ascii"))
@settings(max_examples=200, deadline=None)
def test_no_letter_of_an_admission_can_be_changed(where, letter):
    text = ADMISSION.to_json()
    where %= len(text)
    changed = text[:where] + letter + text[where + 1 :]
    if changed != text:
        with pytest.raises(NasturtiumError):
            Admission.from_json(changed)


@pytest.fixture(scope="module", autouse=True)
def _admission(tmp_path_factory):
    global ADMISSION  # Hypothesis does not go together with fixtures of a function
    authority = Authority.create(tmp_path_factory.mktemp("authority") / "keys", "c", ["localhost"])
    ADMISSION = authority.admit(SITE.application, make_identity("c"), Address("localhost", 1))


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        pytest.param(Application.from_json, lambda: SITE.application.to_json(), id="application"),
        pytest.param(Admission.from_json, lambda: ADMISSION.to_json(), id="admission"),
        pytest.param(MemberList.from_json, lambda: MemberList().to_json(), id="members"),
    ],
)
def test_fields_are_neither_missing_nor_added_nor_of_a_later_version(parse, text):
    document = json.loads(text())
    for name in document:
        with pytest.raises(FormatError):
            parse(json.dumps({key: value for key, value in document.items() if key != name}))
    with pytest.raises(FormatError, match="expected the fields"):
        parse(json.dumps({**document, "more": 1}))
    with pytest.raises(FormatError, match="version"):
        parse(json.dumps({**document, "version": 2}))


def test_nobody_applies_with_the_key_of_another():
    fields = {"identity": SITE.identity.public, "proof": SITE.application.proof}
    signed = SITE.identity.sign("site application v1", OTHER.key.point + SITE.application.proof)
    with pytest.raises(SignatureError, match="transport key did not sign"):
        Application(**fields, transport_key=OTHER.key.point, signature=signed)
    with pytest.raises(SignatureError, match="not that of a"):
        Application(**fields, transport_key=SITE.key.point, signature=signed)


def test_files_too_long_or_not_there_are_told(tmp_path):
    long = tmp_path / "long"
    long.write_text("[" * 100_000)
    for read in (Application.read, Admission.read):
        with pytest.raises(ConfigError, match="too long"):
            read(long)
        with pytest.raises(ConfigError, match="No such file"):
            read(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text"):
        Application.read(tmp_path / "bytes")


def test_an_admission_is_for_one_site_one_key_and_a_time(site, clock):
    admission = site.admission
    admission.check(site.identity.public, site.key.point, clock.now)
    with pytest.raises(AdmissionError, match="for the site hospital-a, and this is b"):
        admission.check(OTHER.identity.public, site.key.point, clock.now)
    with pytest.raises(AdmissionError, match="another transport key"):
        admission.check(site.identity.public, OTHER.key.point, clock.now)
    with pytest.raises(AdmissionError, match="expired"):
        admission.check(site.identity.public, site.key.point, clock.now + timedelta(days=731))
    with pytest.raises(AdmissionError, match="clock"):
        admission.check(site.identity.public, site.key.point, clock.now - timedelta(days=1))


def test_an_admission_does_not_mix_authorities(site, tmp_path, coordinator):
    other = Authority.create(tmp_path / "other", "other", ["localhost"])
    with pytest.raises(FormatError, match="not of the authority"):
        Admission.make(coordinator, Address("localhost", 1), other.certificate, site.admission.certificate)
    with pytest.raises(FormatError, match=r"CA:TRUE|not of the authority"):
        Admission.make(coordinator, Address("localhost", 1), site.admission.certificate, site.admission.certificate)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("fl.example.org:8443", Address("fl.example.org", 8443)),
        ("FL.Example.org.:1", Address("fl.example.org", 1)),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535)),
        ("[0:0::1]:80", Address("::1", 80)),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "host:", "host:0", "host:65536", "host:080", ":80", "::1:80", "[::1]", "[host]:80", "a b:80"),
        *("u@h:80", "1.2.3.4.5:80", "[fe80::1%eth0]:80", "http://h:80", "-h:80", "h\n:80", "h:80\n", "ho\u0455t:80"),
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(FormatError, match="expected an address"):
        parse_address(text)


@pytest.mark.parametrize("value", [None, 80, b"h:80", ["h", 80]])
def test_an_address_is_a_text(value):
    with pytest.raises(FormatError, match="expected an address"):
        parse_address(value)


def test_a_transport_key_stays_in_its_file(tmp_path):
    SITE.key.save(tmp_path / "transport.key")
    assert (tmp_path / "transport.key").stat().st_mode & 0o777 == 0o600
    assert TransportKey.load(tmp_path / "transport.key").point == SITE.key.point
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SITE.key)
    (tmp_path / "transport.key").chmod(0o640)
    with pytest.raises(KeyFileError, match="others than its owner"):
        TransportKey.load(tmp_path / "transport.key")
    (tmp_path / "no.key").touch(0o600)
    with pytest.raises(KeyFileError, match="no transport key"):
        TransportKey.load(tmp_path / "no.key")


def test_removal_and_readmission_are_entries_of_the_list(authority, coordinator, clock, site):
    members, first = authority.members, site.admission.certificate.serial_number
    with pytest.raises(ConfigError, match="name is that of the member hospital-a"):
        authority.admit(site.application, coordinator, site.admission.address)
    clock.advance(days=1)
    removed = members.remove("hospital-a", clock.now)
    assert (removed.serial, removed.removed) == (first, clock.now)
    assert members.read().members == ()
    with pytest.raises(ConfigError, match="not a member"):
        members.remove("hospital-a")
    second = authority.admit(site.application, coordinator, site.admission.address).certificate.serial_number
    third = authority.readmit("hospital-a", coordinator, site.admission.address).certificate.serial_number
    entries = members.read().entries
    assert [entry.serial for entry in entries] == [first, second, third]
    assert [entry.removed is None for entry in entries] == [False, False, True]
    assert entries[0].node_key.startswith(b"-----BEGIN PUBLIC KEY-----")


@pytest.mark.parametrize("what", ["identity", "transport key"])
def test_two_members_share_nothing(authority, coordinator, site, what):
    other = make_site("hospital-b")
    if what == "identity":
        other.identity = site.identity
    else:
        other.key = site.key
    with pytest.raises(ConfigError, match="cannot be admitted"):
        authority.admit(other.application, coordinator, site.admission.address)


def test_a_damaged_list_admits_nobody_and_says_so(authority, site):
    path = authority.members.path
    path.write_text(path.read_text()[:-20])
    with pytest.raises(KeyFileError, match="damaged"):
        Members(path).read()


def test_the_folder_is_its_owners(authority):
    authority.folder.chmod(0o770)
    with pytest.raises(KeyFileError, match="others than its owner can write"):
        Authority(authority.folder)
    authority.folder.chmod(0o700)
    (authority.folder / "ca.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="others than its owner can use"):
        Authority(authority.folder)


def test_an_authority_is_made_once_and_opened_again(authority, tmp_path):
    assert Authority(authority.folder).fingerprint == authority.fingerprint
    assert len(authority.fingerprint) == 79
    assert {path.name for path in authority.folder.iterdir()} == {".gitignore", "ca.key", "ca.pem", "server.pem"}
    for name in ("ca.key", "server.pem"):
        assert (authority.folder / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="already"):
        Authority.create(authority.folder, "c", ["localhost"])
    with pytest.raises(KeyFileError, match="no folder"):
        Authority(tmp_path / "none")
    other = Authority.create(tmp_path / "other", "c", ["localhost"])
    (authority.folder / "ca.pem").write_bytes((other.folder / "ca.pem").read_bytes())
    with pytest.raises(KeyFileError, match="two authorities"):
        Authority(authority.folder)


@pytest.mark.parametrize("hosts", [[], ["a b"], ["https://h"], ["h:80"], ["h", "H"], ["*"], ["\xe9.org"]])
def test_hosts_are_checked(tmp_path, hosts):
    with pytest.raises(ConfigError, match="names or IP addresses"):
        Authority.create(tmp_path / "keys", "c", hosts)


def test_certificates_say_what_they_are_for(authority, site):
    ca, server, client = authority.certificate, authority.server_certificate(), site.admission.certificate
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    for certificate, purpose in ((server, "serverAuth"), (client, "clientAuth")):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (constraints.critical, constraints.value.ca) == (True, False)
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [use._name for use in uses] == [purpose]
    assert len({ca.serial_number, server.serial_number, client.serial_number}) == 3
    assert authority.hosts() == ("localhost", "127.0.0.1")


def test_an_outside_verifier_accepts_them(authority, site, clock):
    builder = PolicyBuilder().store(Store([authority.certificate])).time(clock.now)
    server = builder.build_server_verifier(x509.DNSName("localhost"))
    assert server.verify(authority.server_certificate(), [])[0] == authority.server_certificate()
    with pytest.raises(VerificationError):
        server.verify(site.admission.certificate, [])
    with pytest.raises(VerificationError):
        builder.build_server_verifier(x509.DNSName("elsewhere.org")).verify(authority.server_certificate(), [])


def test_the_servers_certificate_is_renewed_in_time(authority, clock):
    first = authority.server_file.read_bytes()
    clock.advance(days=59)
    assert not authority.renew_server()
    assert authority.server_file.read_bytes() == first
    clock.advance(days=2)
    assert authority.renew_server()
    assert authority.server_certificate().not_valid_after_utc == clock.now + timedelta(days=90)
    assert authority.hosts() == ("localhost", "127.0.0.1")
    assert authority.renew_server(["fl.example.org", "::1"])
    assert authority.hosts() == ("fl.example.org", "::1")
    assert not authority.renew_server(["FL.example.org.", "0::1"])


def test_nothing_outlives_the_authority(authority, clock, coordinator):
    clock.advance(days=3640)
    authority.renew_server()
    end = authority.certificate.not_valid_after_utc
    assert authority.server_certificate().not_valid_after_utc == end
    assert not authority.renew_server()
    assert authority.admit(SITE.application, coordinator, Address("localhost", 1)).expires == end
    clock.advance(days=20)
    with pytest.raises(ConfigError, match="authority expired"):
        authority.renew_server()


def test_a_site_is_not_sent_to_a_host_the_certificate_is_not_for(authority, coordinator):
    with pytest.raises(ConfigError, match="not for elsewhere"):
        authority.admit(SITE.application, coordinator, Address("elsewhere", 1))
    assert authority.members.read() == MemberList()
