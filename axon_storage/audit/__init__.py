"""Seals the audit log, so that later changes of its entries are found."""

from axon_storage.audit.copying import copy_seals
from axon_storage.audit.results import AuditDifference, AuditVerifyResult, KeptSeal, SealResult, TenantVerifyResult
from axon_storage.audit.sealing import seal
from axon_storage.audit.verification import verify

__all__ = [
    "AuditDifference",
    "AuditVerifyResult",
    "KeptSeal",
    "SealResult",
    "TenantVerifyResult",
    "copy_seals",
    "seal",
    "verify",
]
