"""Units of work for the seals of the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Executable, Select, Update, bindparam, func, select, update
from sqlalchemy import Delete as DeleteStatement

from axon_storage.dialects import Dialect
from axon_storage.model.cached import cached
from axon_storage.model.ids import Clock, current_timestamp, first_id
from axon_storage.model.rows import AuditRow
from axon_storage.model.seals import (
    AddSeal,
    CountSeals,
    ForgetDigests,
    ForgetSeals,
    ListSealedTenants,
    ListSeals,
    ReadSealState,
    Seal,
    SealRequest,
    SealState,
)
from axon_storage.sql.plans import execute_save
from axon_storage.sql.statements import tenant_equals
from axon_storage.sql.tables import TABLES, audit_seals, pruning
from axon_storage.sql.unit_of_work import UnitOfWork

_DELETED_AT_ONCE = 100

_audit_log = TABLES[AuditRow]


@dataclass(frozen=True)
class Seals:
    """Compiles requests for seals. ``clock``: returns nanoseconds since 1970."""

    dialect: Dialect
    clock: Clock

    def compile(self, request: SealRequest[Any]) -> UnitOfWork[Any]:  # noqa: PLR0911  # one for each kind
        """Compile one request."""
        match request:
            case ReadSealState():
                return self.state(request)
            case ListSeals():
                return list_seals(request)
            case AddSeal():
                return self.add(request)
            case ForgetDigests():
                return forget_digests(request)
            case ListSealedTenants():
                return UnitOfWork(_sealed_tenants, writes=False)
            case CountSeals():
                return count_seals(request)
            case ForgetSeals():
                return forget_seals(request)
        raise NotImplementedError(type(request).__name__)

    def state(self, request: ReadSealState) -> UnitOfWork[SealState]:
        """Read the last seal, and up to when the audit log was pruned."""
        tenant = {"tenant_id": request.tenant}
        now = current_timestamp(self.clock)

        def run(connection: Connection) -> SealState:
            row = connection.execute(_last_seal(), tenant).one_or_none()
            pruned = connection.execute(_pruned_before(), tenant).scalar()
            return SealState(None if row is None else _seal(row, digests=""), pruned, now)

        return UnitOfWork(run, writes=False)

    def add(self, request: AddSeal) -> UnitOfWork[bool]:
        """Insert a seal, unless one with its number exists; a repetition finds the seal that it has stored."""
        seal = request.seal
        values = {column.name: getattr(seal, field) for field, column in _columns().items()}
        key = {"tenant_id": seal.tenant, "of_number": seal.number}

        def run(connection: Connection) -> bool:
            execute_save(self.dialect, connection, _insert(self.dialect), values)
            return bool(connection.execute(_hash(), key).scalar() == seal.seal_hash)

        return UnitOfWork(run, writes=True)


def list_seals(request: ListSeals) -> UnitOfWork[Sequence[Seal]]:
    """Read seals in the order of their numbers."""
    parameters = {"tenant_id": request.tenant, "after": request.after, "limit": request.limit}

    def run(connection: Connection) -> Sequence[Seal]:
        return [_seal(row) for row in connection.execute(_page(), parameters)]

    return UnitOfWork(run, writes=False, can_autocommit=True)


def forget_digests(request: ForgetDigests) -> UnitOfWork[None]:
    """Delete the digests of seals whose entries are all gone."""
    tenant = {"tenant_id": request.tenant}

    def run(connection: Connection) -> None:
        oldest = connection.execute(_oldest_entry(), tenant).scalar()
        end = first_id(request.before) if oldest is None else min(first_id(request.before), oldest)
        connection.execute(_forget_digests(), {"of_tenant": request.tenant, "end": end, "kept": True})

    return UnitOfWork(run, writes=True)


def count_seals(request: CountSeals) -> UnitOfWork[int]:
    """Count the seals of a tenant."""

    def run(connection: Connection) -> int:
        return int(connection.execute(_count(), {"tenant_id": request.tenant}).scalar_one())

    return UnitOfWork(run, writes=False)


def forget_seals(request: ForgetSeals) -> UnitOfWork[int]:
    """Delete the first seals of a tenant, and return their number."""
    page = {"tenant_id": request.tenant, "limit": _DELETED_AT_ONCE}

    def run(connection: Connection) -> int:
        numbers = connection.execute(_numbers(), page).scalars().all()
        if not numbers:
            return 0
        return connection.execute(_forget(), {"tenant_id": request.tenant, "last": numbers[-1]}).rowcount

    return UnitOfWork(run, writes=True)


def _sealed_tenants(connection: Connection) -> Sequence[str]:
    return connection.execute(_tenants()).scalars().all()


@cached
def _columns() -> dict[str, Column[Any]]:
    """Return the column of each field of a seal."""
    columns = audit_seals.c
    names = {"tenant": columns.tenant_id, "number": columns.seal_number}
    return names | {column.name: column for column in columns if not column.primary_key}


def _seal(row: Any, **others: Any) -> Seal:
    return Seal(**dict(zip(_columns(), row, strict=False)), **others)


def _select(*left_out: str) -> Select[Any]:
    columns = [column for name, column in _columns().items() if name not in left_out]
    return select(*columns).where(tenant_equals(audit_seals))


@cached
def _last_seal() -> Select[Any]:
    return _select("digests").order_by(audit_seals.c.seal_number.desc()).limit(1)


@cached
def _page() -> Select[Any]:
    number = audit_seals.c.seal_number
    return _select().where(number > bindparam("after")).order_by(number).limit(bindparam("limit"))


@cached
def _pruned_before() -> Select[Any]:
    of_table = pruning.c.table_name == _audit_log.name
    return select(pruning.c.pruned_before).where(tenant_equals(pruning), of_table)


@cached
def _insert(dialect: Dialect) -> Executable:
    return dialect.insert_once(audit_seals)


@cached
def _hash() -> Select[Any]:
    columns = audit_seals.c
    return select(columns.seal_hash).where(tenant_equals(audit_seals), columns.seal_number == bindparam("of_number"))


@cached
def _oldest_entry() -> Select[Any]:
    return select(_audit_log.c.id).where(tenant_equals(_audit_log)).order_by(_audit_log.c.id).limit(1)


@cached
def _forget_digests() -> Update:
    # Other names for the parameters: SQLAlchemy would also set a column that has the name of a parameter.
    columns = audit_seals.c
    ended = (columns.tenant_id == bindparam("of_tenant"), columns.end_id <= bindparam("end"))
    return (
        update(audit_seals)
        .where(*ended, columns.has_digests == bindparam("kept"))
        .values(has_digests=False, digests="")
    )


@cached
def _tenants() -> Select[Any]:
    return select(audit_seals.c.tenant_id).distinct().order_by(audit_seals.c.tenant_id)


@cached
def _count() -> Select[Any]:
    return select(func.count()).select_from(audit_seals).where(tenant_equals(audit_seals))


@cached
def _numbers() -> Select[Any]:
    number = audit_seals.c.seal_number
    return select(number).where(tenant_equals(audit_seals)).order_by(number).limit(bindparam("limit"))


@cached
def _forget() -> DeleteStatement:
    return audit_seals.delete().where(tenant_equals(audit_seals), audit_seals.c.seal_number <= bindparam("last"))
