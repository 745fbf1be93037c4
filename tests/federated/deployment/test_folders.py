"""What the operators of a coordinator and of a site do before anything runs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nasturtium.core import ConfigError, FormatError, NasturtiumError
from nasturtium.federated.deployment import (
    FederationConfig,
    admit_site,
    approve_roster,
    init_coordinator,
    init_site,
    remove_site,
)
from nasturtium.federated.site.config import SiteConfig
from nasturtium.federated.transport import Admission, Application, Authority, TransportKey
from nasturtium.privacy import KeyFileError, RosterError


@pytest.fixture
def hub(tmp_path):
    return FederationConfig.load(init_coordinator(tmp_path / "hub", "fl.example.org").config)


@pytest.fixture
def site(tmp_path):
    return init_site(tmp_path / "site", "hospital-a", data="rows.csv", target="outcome")


def test_a_coordinator_has_all_that_its_file_names(hub, tmp_path):
    assert hub.address == ("fl.example.org", 8443)
    assert Authority(hub.authority).hosts() == ("fl.example.org", "localhost", "127.0.0.1")
    assert hub.database == str(tmp_path / "hub" / "history.db")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "hub").rglob("*.key")}
    assert modes == {0o600}


def test_a_site_is_admitted_for_the_keys_it_has(hub, site):
    admission, path = admit_site(hub, site.application)
    assert path.name == "hospital-a.admission.json"
    assert Admission.read(path) == admission
    key = TransportKey.load(site.config.parent / "keys" / "transport.key")
    admission.check(site.identity, key.point, admission.certificate.not_valid_before_utc)
    assert admission.coordinator.name == "coordinator"


def test_a_member_gets_a_new_certificate_and_a_removed_one_can_come_back(hub, site):
    first, path = admit_site(hub, site.application)
    second, again = admit_site(hub, site.application)
    assert path == again
    assert first.certificate.serial_number != second.certificate.serial_number
    assert remove_site(hub, "hospital-a").removed is not None
    assert Authority(hub.authority).members.read().named("hospital-a") is None
    admit_site(hub, site.application)
    assert [member.name for member in Authority(hub.authority).members.read().members] == ["hospital-a"]


def test_who_has_a_members_name_is_not_admitted(hub, site, tmp_path):
    admit_site(hub, site.application)
    other = init_site(tmp_path / "other", "hospital-a")
    with pytest.raises(ConfigError, match="hospital-a"):
        admit_site(hub, other.application)


def test_nothing_is_replaced(hub, site, tmp_path):
    with pytest.raises(ConfigError, match="is there already"):
        init_coordinator(tmp_path / "hub", "fl.example.org")
    with pytest.raises(ConfigError, match="is there already"):
        init_site(tmp_path / "site", "hospital-a")
    site.application.with_name("hospital-a.admission.json").write_text("mine")
    with pytest.raises(ConfigError, match="no admission of hospital-a"):
        admit_site(hub, site.application)
    assert site.application.with_name("hospital-a.admission.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda text: text[:-40], FormatError, id="cut-off"),
        pytest.param(lambda text: text.replace("hospital-a", "hospital-b"), NasturtiumError, id="renamed"),
        pytest.param(lambda text: "", FormatError, id="empty"),
        pytest.param(lambda text: "x" * 10**6, ConfigError, id="long"),
    ],
)
def test_what_is_no_application_is_not_admitted(hub, site, change, error):
    site.application.write_text(change(site.application.read_text()))
    with pytest.raises(error):
        admit_site(hub, site.application)
    assert Authority(hub.authority).members.read().members == ()


def test_the_site_that_was_made_can_be_read(site):
    config = SiteConfig.load(site.config)
    assert (config.name, config.data.target) == ("hospital-a", "outcome")
    assert Application.read(site.application).identity == site.identity
    with pytest.raises(RosterError, match="no roster waits"):
        approve_roster(config, "ab" * 32)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"host": "no host"}, "expected an address", id="host"),
        pytest.param({"host": "fl.example.org", "port": 0}, "port: expected", id="port"),
        pytest.param({"host": "fl.example.org", "name": "a b/c"}, "name", id="name"),
    ],
)
def test_a_coordinator_that_cannot_be_leaves_nothing(tmp_path, arguments, said):
    with pytest.raises(NasturtiumError, match=said):
        init_coordinator(tmp_path / "hub", **arguments)
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("version = 2", "version: expected 1, got 2"),
        ("prot = 8443", "did you mean port"),
        ("port = 'x'", "port: expected a whole number"),
        ("[rounds]\ngrace = -1", r"\[rounds\]:? grace: expected"),
        ("[rounds]\nmin_replies = 2", "min_replies: expected"),
        ("rounds = 3", r"\[rounds\]:? expected a table"),
    ],
)
def test_a_file_that_does_not_fit_says_where(tmp_path, line, said):
    path = tmp_path / "federation.toml"
    head = "" if line.startswith("version") else "version = 1\n"
    path.write_text(f'{head}name = "hub"\nhost = "localhost"\n{line}\n')
    with pytest.raises(ConfigError, match=said) as error:
        FederationConfig.load(path)
    assert "federation.toml" in str(error.value)


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    init_coordinator(Path(tmp_path / "hub"), "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    assert FederationConfig.load("hub/federation.toml").keys == tmp_path / "hub" / "keys"


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "hub").write_text("a file")
    with pytest.raises(KeyFileError, match="cannot use the folder"):
        init_coordinator(tmp_path / "hub", "localhost")
