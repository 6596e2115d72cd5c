"""Moves rows between databases and files, with their ids, timestamps and order, and compares two databases."""

from axon_storage.transfer.copying import copy
from axon_storage.transfer.exporting import export
from axon_storage.transfer.importing import import_
from axon_storage.transfer.parquet import export_parquet
from axon_storage.transfer.results import Difference, Progress, TableComparison, TransferResult, VerifyResult
from axon_storage.transfer.verification import verify

__all__ = [
    "Difference",
    "Progress",
    "TableComparison",
    "TransferResult",
    "VerifyResult",
    "copy",
    "export",
    "export_parquet",
    "import_",
    "verify",
]
