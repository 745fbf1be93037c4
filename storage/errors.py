"""What can go wrong with the history: each class is something a caller would handle on its own."""

from ..core import NasturtiumError


class StorageError(NasturtiumError, RuntimeError):
    """The database cannot be opened, read or written; the driver's own error is the cause."""


class DatabaseNotFoundError(StorageError):
    """There is no history where one was to be read; nothing was created."""


class DatabaseVersionError(StorageError):
    """The database was made by a newer nasturtium than this one."""


class ForeignDatabaseError(StorageError):
    """A SQLite file that belongs to another program; it was not touched."""


class DatabaseUnreachableError(StorageError):
    """The server of the database does not answer."""


class DiskFullError(StorageError):
    """There is no space for what was to be written; nothing of it was."""


class DatabaseLockedError(StorageError):
    """Another process kept the database locked for longer than we wait."""


class IntegrityError(StorageError):
    """What is stored is not what was written: a damaged file, an altered ledger, an artifact of another content."""


class BudgetSpentError(StorageError):
    """A release would cost more privacy than its budget has left; nothing was recorded."""


class QueryError(NasturtiumError, ValueError):
    """A question that is not in the query language, or asks for names nobody has used."""


class RunBusyError(StorageError):
    """The run is in the hands of another live process."""


class LeaseLostError(StorageError):
    """The trial is no longer the worker's: its lease ran out, or the search went on without it."""


class UnknownRunError(NasturtiumError, LookupError):
    """No run answers to that name, or more than one does."""


class UnknownModelError(NasturtiumError, LookupError):
    """There is no model, version or alias of that name."""
