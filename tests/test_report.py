"""The report is one page that needs no network, shows the figures of the database, and escapes every name."""

import re
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import CostRow, EventRow, InvalidArgumentError, SqlRepository, StorageError, TraceRow, report
from axon_storage.testing.samples import sample

MARKUP = "<script>alert('$x^2$')</script>"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}]

    def handle_data(self, data: str) -> None:
        self.words += [" ".join(data.split())] if data.strip() else []


def storage_at(engine: AsyncEngine, moment: datetime) -> SqlRepository:
    return SqlRepository(engine, clock=lambda: int(moment.timestamp()) * 10**9)


async def fill(engine: AsyncEngine) -> None:
    for number in range(3):
        storage = storage_at(engine, DAY + timedelta(days=number, hours=number))
        for tenant in ("acme", MARKUP):
            await storage.for_tenant(tenant).save_many(
                [
                    sample(CostRow, tenant, flow_name=MARKUP, backend="openai", cost_usd=1.25),
                    sample(TraceRow, tenant, trace_id=number, errors=2, latency_ms=100),
                    sample(EventRow, tenant, topic=f"topic {number}"),
                ]
            )


async def test_the_page_shows_the_sums_of_the_period(engine: AsyncEngine) -> None:
    await fill(engine)
    page = Page(await report.html(SqlRepository(engine), days=2, until=DAY + timedelta(days=2)))
    text = " ".join(page.words)
    assert "$5.00 cost 4 traces 8 errors 4 events" in text  # the third day is after the period
    assert {"topic 0", "topic 1", "openai", "acme", MARKUP} <= set(page.words)
    assert "topic 2" not in page.words
    assert page.tags.count("svg") >= 5


async def test_the_page_can_be_limited_to_some_tenants(engine: AsyncEngine) -> None:
    await fill(engine)
    page = Page(await report.html(SqlRepository(engine), days=9, until=DAY + timedelta(days=9), tenants=["acme"]))
    assert "$3.75 cost 3 traces 6 errors 3 events" in " ".join(page.words)


async def test_the_page_runs_no_script_and_loads_nothing(engine: AsyncEngine) -> None:
    await fill(engine)
    source = await report.html(SqlRepository(engine), days=9, until=DAY + timedelta(days=9))
    page = Page(source)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert re.findall(r"url\((?!#)", source) == []
    assert "default-src 'none'" in source


async def test_the_page_of_an_empty_storage_says_that_there_is_nothing(engine: AsyncEngine) -> None:
    page = Page(await report.html(SqlRepository(engine)))
    assert "No costs were recorded in this period." in page.words
    assert "$0.00 cost 0 traces 0 errors 0 events" in " ".join(page.words)


@pytest.mark.parametrize("days", [0, 367, 1.5, True])
async def test_a_period_out_of_range_is_refused(engine: AsyncEngine, days: int) -> None:
    with pytest.raises(InvalidArgumentError, match="days must be an integer from 1 to 366"):
        await report.html(SqlRepository(engine), days=days)


async def test_without_its_extra_a_report_names_it(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "axon_storage.report.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(StorageError, match=r"install axon-storage\[report\]"):
        await report.html(SqlRepository(engine))
