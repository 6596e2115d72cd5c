"""From a driver's errors to ours: the cause contains no bound value, also where a cancellation comes in between."""

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
    """An error as SQLAlchemy raises it: around its adapter's, which is around the driver's."""
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


async def test_an_error_that_a_driver_meets_while_it_is_cancelled_shows_no_value() -> None:
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


async def test_an_error_of_the_host_application_stays_the_cause_of_a_cancellation() -> None:
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
