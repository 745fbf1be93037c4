"""`DataConfig` and `SplitConfig`: where a site's rows come from, and which are for what; two tables of `site.toml`.

A password stands in no configuration: it comes from a variable of the environment, or a file of its owner's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from ...core import ConfigError
from ...core.data import Missing
from ..settings import check_flag, check_number, check_path, check_text, check_texts, check_whole, check_word

SourceKind = Literal["csv", "parquet", "sql", "npz", "images"]
ColumnType = Literal["auto", "numeric", "categorical"]
TaskKind = Literal["classification", "regression"]
SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"csv": (".csv", ".tsv", ".txt"), "parquet": (".parquet", ".pq"), "npz": (".npz",)}
)
DIALECTS: Final = ("sqlite", "postgresql", "mysql", "mariadb")  # those that have transactions that only read


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """The `[data]` table: where rows come from, and what is learned of them.

    Attributes:
        kind: of the source.
        path: of a file, or of a folder of images; None for SQL.
        target: column with what is to be learned, or array of an NPZ file; None for images, whose folders are classes.
        task: what is learned of it.
        columns: the inputs by name, each "numeric", "categorical", or "auto" by what is in it; empty takes every
            column but the target.
        ignore: columns that are left out.
        classes: all that the target can have, where not every one is in this site's rows; empty takes those that are.
        missing: what missing values are: an error, filled in, or filled in and told to the network.
        image_size: (height, width) in pixels that images are scaled to.
        database: address of an SQL database without a password, such as "sqlite:///clinic.db".
        query: one SELECT.
        password_env: variable of the environment with the password.
        password_file: file with the password, mode 0600.
    """

    kind: SourceKind
    path: Path | None = None
    target: str | None = None
    task: TaskKind = "classification"
    columns: Mapping[str, ColumnType] = field(default_factory=dict[str, ColumnType])
    ignore: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    missing: Missing = "refuse"
    image_size: tuple[int, int] | None = None
    database: str | None = None
    query: str | None = None
    password_env: str | None = None
    password_file: Path | None = None

    def __post_init__(self) -> None:
        check_word("kind", self.kind, get_args(SourceKind))
        check_word("task", self.task, get_args(TaskKind))
        check_word("missing", self.missing, get_args(Missing))
        for name in ("path", "password_file"):
            if getattr(self, name) is not None:
                check_path(name, getattr(self, name))
        for name in ("target", "password_env"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        check_texts("ignore", self.ignore)
        check_texts("classes", self.classes)
        if self.classes and (self.task != "classification" or len(self.classes) < 2):
            raise ConfigError("classes: expected two at least, of a classification")
        if not isinstance(self.columns, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - a file may say so
            raise ConfigError('columns: expected a table of names and types, such as columns = { age = "numeric" }')
        for name, kind in self.columns.items():
            check_text("columns", name)
            check_word(f"columns: {name!r:.80}", kind, get_args(ColumnType))
        if twice := sorted(set(self.columns) & {*self.ignore, self.target}):
            raise ConfigError(f"columns: {twice[0]!r:.80} is an input, and also the target or ignored")
        if self.image_size is not None:
            size: tuple[object, ...] = self.image_size
            if not isinstance(size, tuple) or len(size) != 2:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError("image_size: expected [height, width] in pixels")
            for length in size:
                check_whole("image_size", length, 1, 2**13)
        self._check_source()

    def _check_source(self) -> None:
        """Every source has keys of its own."""
        sql = ("database", "query", "password_env", "password_file")
        for name in sql:
            if self.kind != "sql" and getattr(self, name) is not None:
                raise ConfigError(f"{name}: belongs to an SQL query, got kind = {self.kind!r}")
        if self.kind == "sql":
            self._check_sql()
        elif self.path is None:
            raise ConfigError(f"path: is missing, and the kind is {self.kind!r}", hint="name the file or folder")
        elif self.path.suffix.lower() not in SUFFIXES.get(self.kind, (self.path.suffix.lower(),)):
            endings = ", ".join(SUFFIXES[self.kind])
            raise ConfigError(f"path: expected a name with {endings} for kind = {self.kind!r}, got {self.path.name!r}")
        if self.kind == "images":
            for name in ("target", "columns", "ignore", "classes"):
                if getattr(self, name):
                    raise ConfigError(f"{name}: the folders of images are their classes, and there are no columns")
            if self.task != "classification":
                raise ConfigError("task: the folders of images are their classes, got a regression")
        elif self.image_size is not None:
            raise ConfigError(f"image_size: belongs to a folder of images, got kind = {self.kind!r}")
        if self.kind == "npz" and self.columns:
            raise ConfigError("columns: the arrays of an NPZ file have none")
        if self.kind not in {"images", "npz"} and self.target is None:
            raise ConfigError("target: is missing: name the column with what is to be learned")

    def _check_sql(self) -> None:
        if self.path is not None:
            raise ConfigError("path: an SQL query has none; the address of the database is its key database")
        for name in ("database", "query"):
            value: object = getattr(self, name)
            # Not shown: there may be a password in it.
            if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > 2**16:
                raise ConfigError(f"{name}: is missing or no text, and the kind is 'sql'")
        assert self.database is not None
        try:
            address = urlsplit(self.database)
            password = address.password
        except ValueError as exc:
            raise ConfigError("database: is no address", hint="such as postgresql+psycopg://user@host/name") from exc
        if address.scheme.partition("+")[0] not in DIALECTS or "://" not in self.database:
            raise ConfigError(f"database: expected an address that begins with {', '.join(DIALECTS)} and ://")
        secret = {"password", "passwd", "pwd", "passfile", "sslpassword"}
        if password is not None or secret & {key.lower() for key, _ in parse_qsl(address.query)}:
            raise ConfigError(
                "database: there is a password in the address", hint="put it in password_env or password_file"
            )
        if self.password_env is not None and self.password_file is not None:
            raise ConfigError("password_env: expected a variable or a file with the password, got both")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """The `[split]` table: which rows are for what. The rest is trained on.

    Attributes:
        validation: share of the rows that the model is measured on in each round; in (0, 1).
        test: share that no round sees, for the site's own report; 0 makes none.
        seed: decides which rows.
        stratified: whether every part has the classes in about the same proportion. A class with fewer rows than parts
            is trained on.
    """

    validation: float = 0.2
    test: float = 0.2
    seed: int = 0
    stratified: bool = True

    def __post_init__(self) -> None:
        check_number("validation", self.validation, 0, 1)
        check_number("test", self.test, 0, 1, least_fits=True)
        check_whole("seed", self.seed, 0)
        check_flag("stratified", self.stratified)
        if not self.validation + self.test <= 0.95:
            raise ConfigError(
                f"validation: {self.validation:g} and test {self.test:g} leave too few rows to train on",
                hint="together at most 0.95",
            )
