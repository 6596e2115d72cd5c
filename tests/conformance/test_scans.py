"""``scan`` yields every row of a type, page by page."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import InvalidArgumentError, Row, SessionRow, SqlRepository, TraceRow
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.scans import *  # noqa: F403


@pytest.mark.parametrize("row_type", [Row, object, type("Kin", (SessionRow,), {"__slots__": ()}), "sessions", None, []])
async def test_a_type_that_is_not_a_row_type_is_refused_at_once(repository: SqlRepository, row_type: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="scan: row_type must be one of the row types"):
        repository.scan(row_type)


@pytest.mark.parametrize("row_type", [SessionRow, TraceRow])
@pytest.mark.parametrize("page_size", [0, -1, 2**63, True, 1.0, "1"])
async def test_an_invalid_page_size_is_refused_at_once(
    repository: SqlRepository, row_type: type[Row], page_size: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match="scan: page_size must be"):
        repository.scan(row_type, page_size=page_size)


async def test_the_tenant_of_a_scan_is_that_of_the_call(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine)
    await storage.for_tenant("acme").save_session(sample(SessionRow, "acme"))
    for row_type in (SessionRow, TraceRow):
        assert [row async for row in storage.scan(row_type)] == []
    assert [row async for row in storage.for_tenant("acme").scan(SessionRow)] == [sample(SessionRow, "acme")]
