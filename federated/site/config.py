"""`SiteConfig`: what a site is, where its data lies, and what it takes part in, as its operator writes it: `site.toml`.

Every key is checked when the file is read; nothing of the data is.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from ...core import ConfigError, FormatError, parse_toml, read_settings, to_toml
from ...privacy import check_name
from ..adapters.catalogue import check_models
from ..settings import check_known, check_path, check_text, read_table
from ..site_data.config import SUFFIXES, DataConfig, SplitConfig
from .policy import SitePolicy
from .template import TEMPLATE

VERSION: Final = 1
_TABLES: Final = ("data", "split", "policy")
_MODELS: Final = "models"
_PATHS: Final = ("keys", "state", "admission")
_EXAMPLE: Final = "version = 1"
_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F][0-9a-fA-F: -]{15,255}")
_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """A site as its file says. Paths are absolute; in the file they are relative to its folder.

    Attributes:
        name: of the site, as the others see it.
        keys: folder with its identity and keys.
        state: folder with what it has to remember: its models, its privacy budget, its audit log.
        admission: file that came back from the coordinator.
        data, split, policy: see there.
        models: the owner's own models: by name, where the function is that makes one, "module:function"; see
            `adapters`. Those of installed packages need no entry here.
        roster_fingerprint: of the roster that is signed without asking again, as the operator has compared it; None
            asks.
    """

    name: str
    keys: Path
    state: Path
    admission: Path
    data: DataConfig
    split: SplitConfig = field(default_factory=SplitConfig)
    policy: SitePolicy = field(default_factory=SitePolicy)
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    roster_fingerprint: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        for name in ("keys", "state", "admission"):
            check_path(name, getattr(self, name))
        try:
            check_models(self.models)
        except ConfigError as exc:
            raise ConfigError(f"[{_MODELS}] {exc.message}", hint=exc.hint) from None
        shown = self.roster_fingerprint
        if shown is not None and (not isinstance(shown, str) or _FINGERPRINT.fullmatch(shown) is None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("roster_fingerprint: expected hexadecimal digits, in groups or not")
        if self.keys == self.state:
            raise ConfigError("state: expected another folder than that of the keys")

    @classmethod
    def load(cls, path: str | Path) -> SiteConfig:
        """Read a site's file.

        Raises:
            ConfigError: the file cannot be read, anyone can write to it, or a key does not fit.
        """
        document = read_settings(path, example=_EXAMPLE)
        _check_mode(Path(path))
        return cls.from_dict(document, Path(os.path.abspath(path)).parent, where=str(path))  # noqa: PTH100 - no links

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], folder: Path, *, where: str = "site.toml") -> SiteConfig:
        """A configuration from a document.

        Args:
            document: of TOML.
            folder: what its paths are relative to; absolute.
            where: what messages begin with.

        Raises:
            ConfigError: a key does not fit.
        """
        version = document.get("version")
        if version != VERSION or type(version) is not int:
            said = f"got {version!r:.40}" if "version" in document else "there is none"
            newer = type(version) is int and version > VERSION
            hint = "this nasturtium is older than the file: install a newer one" if newer else "write: version = 1"
            raise ConfigError(f"{where}: version: expected {VERSION}, {said}", hint=hint)
        keys = [each.name for each in fields(cls) if each.name not in (*_TABLES, _MODELS)]
        check_known(document, ["version", *keys, *_TABLES, _MODELS], f"{where}:")
        tables = {name: document.get(name, {}) for name in (*_TABLES, _MODELS)}
        models = tables[_MODELS]
        if not isinstance(models, dict):
            raise ConfigError(f"{where}: [{_MODELS}] expected a table, got {models!r:.60}")
        data = _with_paths(tables["data"], ("path", "password_file"), folder, f"{where}: [data]")
        site = _with_paths({name: document[name] for name in keys if name in document}, _PATHS, folder, f"{where}:")
        return read_table(
            cls,
            site,
            f"{where}:",
            data=read_table(DataConfig, data, f"{where}: [data]"),
            split=read_table(SplitConfig, tables["split"], f"{where}: [split]"),
            policy=read_table(SitePolicy, tables["policy"], f"{where}: [policy]"),
            models=cast(dict[str, str], models),
        )

    def to_toml(self) -> str:
        """The file that says all of it, with absolute paths."""
        top = {"version": VERSION} | _document(self, leave=(*_TABLES, _MODELS))
        parts = [to_toml(top)]
        parts += [f"\n[{name}]\n{to_toml(_document(getattr(self, name)))}" for name in _TABLES]
        if self.models:
            parts.append(f"\n[{_MODELS}]\n{to_toml(self.models)}")
        return "".join(parts)

    @staticmethod
    def template(name: str, *, data: str = "data.csv", target: str = "label") -> str:
        """The commented file that a new site begins with.

        Args:
            name: of the site.
            data: path of its data, by whose name the kind of the source is guessed.
            target: the column to learn.

        Raises:
            ConfigError: no name of a site, or no path.
        """
        suffix = Path(data).suffix.lower()
        kind = next((kind for kind, endings in SUFFIXES.items() if suffix in endings), "images")
        _check_name(name)
        values = {"name": name, "kind": kind, "path": data, "admission": f"{name}.admission.json"}
        values |= {} if kind == "images" else {"target": target}
        lines = {key: to_toml({key: value}).rstrip() for key, value in values.items()}
        text = TEMPLATE.format(**{"target": '# target = "label"', **lines})
        SiteConfig.from_dict(cast(dict[str, Any], parse_toml(text)), Path("/"), where="the new site.toml")
        return text


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except FormatError as exc:
        raise ConfigError(f"name: {exc.message}", hint=exc.hint) from None


def _with_paths(table: object, names: tuple[str, ...], folder: Path, where: str) -> object:
    """A table with absolute paths; what is no table is left to who reads it."""
    if not isinstance(table, dict):
        return table
    values = dict(cast(dict[str, Any], table))
    try:
        for name in names:
            if name in values:
                check_text(name, values[name])
                values[name] = Path(_absolute(values[name], folder))
    except ConfigError as exc:
        raise ConfigError(f"{where} {exc.message}", hint="write a path as a text") from exc
    address = values.get("database")
    if isinstance(address, str) and address.startswith(_SQLITE) and len(address) > len(_SQLITE):
        file, question, options = address.removeprefix(_SQLITE).partition("?")
        values["database"] = f"{_SQLITE}{quote(_absolute(unquote(file), folder), safe='/:')}{question}{options}"
    return values


def _absolute(path: str, folder: Path) -> str:
    """Links are kept: what they lead to may change."""
    return os.path.normpath(folder / os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for ~nobody


def _document(value: object, leave: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass as TOML holds them; without those that are None, which it cannot say."""
    found = {each.name: getattr(value, each.name) for each in fields(cast(Any, value)) if each.name not in leave}
    return {
        name: str(item) if isinstance(item, Path) else item
        for name, item in found.items()
        if item is not None and not (isinstance(item, Mapping) and not item)
    }


def _check_mode(path: Path) -> None:
    """A policy that anyone can write is none."""
    mode = path.stat().st_mode
    if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IWOTH:
        raise ConfigError(f"{path}: anyone can write to it, and so change the site's policy", hint=f"chmod o-w {path}")
