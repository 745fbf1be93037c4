"""A coordinator's folder, and sites with their keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nasturtium.federated.transport import Address, Admission, Application, Authority, TransportKey
from nasturtium.privacy import Identity


def make_identity(name: str) -> Identity:
    """The same one for the same name, which real ones are not."""
    return Identity(name, hashlib.sha512(name.encode()).digest())


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **spans: float) -> None:
        self.now += timedelta(**spans)


@dataclass
class Party:
    """A site with its keys, and its admission once it has one."""

    identity: Identity
    key: TransportKey
    admission: Admission | None = None

    @property
    def name(self) -> str:
        return self.identity.public.name

    @property
    def application(self) -> Application:
        return Application.make(self.identity, self.key)


def make_site(name: str) -> Party:
    return Party(make_identity(name), TransportKey.generate())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def coordinator() -> Identity:
    return make_identity("coordinator")


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority.create(tmp_path / "coordinator", "coordinator", ["localhost", "127.0.0.1"], clock=clock)


@pytest.fixture
def site(authority: Authority, coordinator: Identity) -> Party:
    """Admitted; the port of its admission is not that of a front."""
    site = make_site("hospital-a")
    site.admission = authority.admit(site.application, coordinator, Address("localhost", 8443))
    return site
