"""`FederationConfig`: where a coordinator is reached, what it keeps where, how rounds close: `federation.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from ...core import ConfigError, FormatError, read_settings, to_toml
from ...privacy import MIN_SUMMANDS, check_name
from ..protocol.gather import Closing
from ..settings import check_known, check_number, check_path, check_text, check_whole, read_table
from ..transport import Address, parse_address

VERSION: Final = 1
DEFAULT_PORT: Final = 8443
_EXAMPLE: Final = "version = 1"
_PATHS: Final = ("keys", "authority", "state")
_SQLITE: Final = "sqlite:///"

TEMPLATE: Final = """\
# The coordinator of a federation. It relays sums that it cannot open. Paths are relative to this file.
version = 1

{name}
# Name or IP address, and port, by which sites reach it; its certificate is for them.
{host}
{port}
listen = ""                     # address to listen on; empty: all of this machine's
keys = "keys"                   # folder with the coordinator's identity
authority = "authority"         # folder with the certificate authority, and the list of members
state = "state"                 # folder for Flower's servers: their logs and what they keep
database = "history.db"         # the history: a path of SQLite, or postgresql+psycopg://...


[rounds]                        # when a round closes; a job may say otherwise
deadline = 600.0                # seconds a round waits for answers
min_replies = 3                 # once so many sites have answered,
grace = 10.0                    # it waits so many seconds for the others
attempts = 5                    # at a round with too few answers, before the run is paused
patience = 600.0                # seconds to wait for enough sites to be there
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRules:
    """The `[rounds]` table.

    Attributes:
        deadline: seconds a round waits for answers; > 0.
        min_replies: once so many have answered, only `grace` is waited for the others; at least 3.
        grace: seconds; >= 0.
        attempts: at a round with too few answers, before the run is paused; at least 1.
        patience: seconds to wait for enough sites to be there; >= 0.
    """

    deadline: float = 600.0
    min_replies: int = MIN_SUMMANDS
    grace: float = 10.0
    attempts: int = 5
    patience: float = 600.0

    def __post_init__(self) -> None:
        check_number("deadline", self.deadline, 0, 10**7)
        check_whole("min_replies", self.min_replies, MIN_SUMMANDS, 1000)
        check_number("grace", self.grace, 0, 10**7, least_fits=True)
        check_whole("attempts", self.attempts, 1, 10**6)
        check_number("patience", self.patience, 0, 10**9, least_fits=True)

    @property
    def closing(self) -> Closing:
        """When a round closes."""
        return Closing(deadline=self.deadline, min_replies=self.min_replies, grace=self.grace)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationConfig:
    """A coordinator as its file says. Paths are absolute; in the file they are relative to its folder.

    Attributes:
        name: of the coordinator, as the sites see it.
        host: by which sites reach it.
        port: on which, 1 to 65535.
        listen: address of this machine to listen on; empty is all of them.
        keys: folder with its identity.
        authority: folder with the certificate authority and the list of members.
        state: folder of Flower's servers.
        database: the history; a URL, or an absolute path of SQLite.
        rounds: see `RoundRules`.

    Raises:
        ConfigError: a value does not fit.
    """

    name: str
    host: str
    port: int = DEFAULT_PORT
    listen: str = ""
    keys: Path
    authority: Path
    state: Path
    database: str
    rounds: RoundRules = field(default_factory=RoundRules)

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
            check_whole("port", self.port, 1, 65535)
            _address(self.host, self.port)
            if self.listen:
                _address(self.listen, self.port)
        except FormatError as exc:
            raise ConfigError(exc.message, hint=exc.hint) from None
        for name in _PATHS:
            check_path(name, getattr(self, name))
        check_text("database", self.database)

    @property
    def address(self) -> Address:
        """Where sites reach the coordinator."""
        return _address(self.host, self.port)

    @classmethod
    def load(cls, path: str | Path) -> FederationConfig:
        """Read a coordinator's file.

        Raises:
            ConfigError: the file cannot be read, or a key does not fit.
        """
        document = read_settings(path, example=_EXAMPLE)
        return cls.from_dict(document, Path(path).absolute().parent, where=str(path))

    @classmethod
    def from_dict(
        cls, document: Mapping[str, Any], folder: Path, *, where: str = "federation.toml"
    ) -> FederationConfig:
        """A configuration from a document.

        Args:
            document: of TOML.
            folder: what its paths are relative to; absolute.
            where: what messages begin with.

        Raises:
            ConfigError: a key does not fit.
        """
        if document.get("version") != VERSION or type(document["version"]) is not int:
            got = document.get("version", "none")
            raise ConfigError(f"{where}: version: expected {VERSION}, got {got!r:.40}", hint=f"write: {_EXAMPLE}")
        keys = [each.name for each in fields(cls) if each.name != "rounds"]
        check_known(document, ["version", *keys, "rounds"], where)
        values = {name: document[name] for name in keys if name in document}
        for name in _PATHS:
            values.setdefault(name, name)
            if isinstance(values[name], str):
                values[name] = Path(os.path.normpath(folder / values[name]))
        values.setdefault("database", "history.db")
        if isinstance(values["database"], str):
            values["database"] = _database(values["database"], folder)
        rounds = read_table(RoundRules, document.get("rounds", {}), f"{where}: [rounds]")
        return read_table(cls, values, f"{where}:", rounds=rounds)

    @staticmethod
    def template(name: str, host: str, port: int = DEFAULT_PORT) -> str:
        """The commented file that a new coordinator begins with.

        Raises:
            ConfigError: no name of a party, no host or no port.
        """
        values: dict[str, str | int] = {"name": name, "host": host, "port": port}
        FederationConfig.from_dict({"version": VERSION, **values}, Path("/"), where="the new federation.toml")
        return TEMPLATE.format(**{key: to_toml({key: value}).rstrip() for key, value in values.items()})


def _address(host: object, port: int) -> Address:
    text = f"[{host}]:{port}" if isinstance(host, str) and ":" in host else f"{host}:{port}"
    return parse_address(text)


def _database(text: str, folder: Path) -> str:
    """A URL as it is, but a path made absolute."""
    if text.startswith(_SQLITE):
        return f"{_SQLITE}{os.path.normpath(folder / text.removeprefix(_SQLITE))}"
    return text if "://" in text else os.path.normpath(folder / text)
