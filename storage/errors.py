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


class RunBusyError(StorageError):
    """The run is in the hands of another live process."""


class UnknownRunError(NasturtiumError, LookupError):
    """No run answers to that name, or more than one does."""
