"""Histories as files: all of it, to be imported elsewhere, or tables for other tools."""

from .export import ExportFormat, export_history
from .files import check_file
from .load import import_history
from .rebuild import Imported

__all__ = ["ExportFormat", "Imported", "check_file", "export_history", "import_history"]
