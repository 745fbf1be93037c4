"""Keeping a database well: what is in it, whether it is whole, backups and the way back, making it small."""

from .archive import Manifest
from .backup import Restored, back_up, read_backup, restore
from .check import CheckReport, Finding, Severity, check_database
from .compaction import CompactReport, compact
from .health import Diagnosis, Level, diagnose_database, interrupt_dead_runs
from .status import DatabaseStatus, database_status

__all__ = [
    "CheckReport",
    "CompactReport",
    "DatabaseStatus",
    "Diagnosis",
    "Finding",
    "Level",
    "Manifest",
    "Restored",
    "Severity",
    "back_up",
    "check_database",
    "compact",
    "database_status",
    "diagnose_database",
    "interrupt_dead_runs",
    "read_backup",
    "restore",
]
