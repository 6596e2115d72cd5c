"""The translation of drivers' errors: the cause contains no bound value, even after a cancellation."""

import asyncio
import traceback

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, StatementError

from axon_storage import QueryError
from axon_storage.dialects import of_scheme
from axon_storage.engine.translation import translate_errors

POSTGRESQL = of_scheme("postgresql")
SECRET = "the secret value"


def _refused() -> DBAPIError:
    """Make an error as SQLAlchemy raises it: it wraps that of its adapter, which wraps the driver's."""
    fields = {"S": "ERROR", "C": "23514", "M": "new row violates check constraint", "D": f"Failing row: ({SECRET})"}
    adapted = Exception(f"{fields['M']} {SECRET}")
    adapted.__cause__ = asyncpg.PostgresError.new(fields)
    error = DBAPIError("INSERT", {"value": SECRET}, adapted, hide_parameters=True)
    error.__cause__ = adapted
    return error


async def test_a_refused_statement_has_the_drivers_error_as_its_cause() -> None:
    with pytest.raises(QueryError, match=r"save: \[23514\]") as refused, translate_errors(POSTGRESQL, "save"):
        raise _refused()
    assert isinstance(refused.value.__cause__, asyncpg.CheckViolationError)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


async def test_a_value_that_cannot_be_bound_is_not_shown() -> None:
    with pytest.raises(QueryError, match="save: StatementError") as refused, translate_errors(POSTGRESQL, "save"):
        raise StatementError("(ValueError)", "INSERT", {}, ValueError(SECRET)) from ValueError(SECRET)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


async def test_a_drivers_error_during_a_cancellation_shows_no_value() -> None:
    async def save() -> None:
        with translate_errors(POSTGRESQL, "save"):
            try:
                await asyncio.Event().wait()
            finally:
                raise _refused()

    task = asyncio.create_task(save())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert isinstance(cancelled.value.__cause__, asyncpg.CheckViolationError)
    assert SECRET not in "".join(traceback.format_exception(cancelled.value))


async def test_an_error_of_the_host_stays_the_cause_of_a_cancellation() -> None:
    async def save() -> None:
        with translate_errors(POSTGRESQL, "save"):
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("theirs")

    task = asyncio.create_task(save())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert isinstance(cancelled.value.__cause__, LookupError)
