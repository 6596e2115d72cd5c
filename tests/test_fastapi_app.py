"""The FastAPI example, over HTTP, on SQLite."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_app import create_app

from axon_storage import EventRow, SqlRepository, StorageDispatcher, TraceRow, new_id, schema
from axon_storage.engine.health import HealthCheck
from axon_storage.testing.samples import LARGEST, sample

ACME = {"X-Tenant": "acme"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/agents.db"


@pytest.fixture
async def app(url: str) -> AsyncIterator[FastAPI]:
    app = create_app(url)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
def storage(app: FastAPI) -> StorageDispatcher:
    opened: StorageDispatcher = app.state.storage
    return opened


async def test_a_saved_trace_is_returned_only_to_its_tenant(client: httpx.AsyncClient) -> None:
    trace = sample(TraceRow, "acme", trace_id=LARGEST)
    saved = await client.post("/traces", content=trace.to_json(), headers=ACME)
    assert (saved.status_code, saved.content) == (204, b"")
    found = await client.get(f"/traces/{LARGEST}", headers=ACME)
    assert TraceRow.from_json(found.content) == trace
    assert (await client.get(f"/traces/{LARGEST}", headers={"X-Tenant": "other"})).status_code == 404


async def test_traces_come_in_pages_newest_first(client: httpx.AsyncClient, storage: StorageDispatcher) -> None:
    await storage.for_tenant("acme").save_many(sample(TraceRow, "acme", trace_id=n) for n in range(5))
    await storage.for_tenant("other").save_trace(sample(TraceRow, "other", trace_id=9))
    pages = [await client.get("/traces", params={"limit": 2, "offset": n}, headers=ACME) for n in (0, 2, 4, 6)]
    assert [[trace["trace_id"] for trace in page.json()] for page in pages] == [[4, 3], [2, 1], [0], []]


async def test_events_are_listed_in_pages_by_a_cursor(client: httpx.AsyncClient, storage: StorageDispatcher) -> None:
    acme = storage.for_tenant("acme")
    ids = [str(await acme.append_event(sample(EventRow, "acme", topic="chat"))) for _ in range(5)]
    await acme.append_event(sample(EventRow, "acme", topic="another"))
    found, query = [], {"topic": "chat", "limit": "2"}
    while True:
        page = (await client.get("/events", params=query, headers=ACME)).json()
        found.append([event["id"] for event in page["events"]])
        if page["next"] is None:
            break
        query["since"] = page["next"]
    assert found == [ids[:2], ids[2:4], ids[4:]]


async def test_events_of_one_microsecond_share_a_page(client: httpx.AsyncClient, storage: StorageDispatcher) -> None:
    first = new_id()
    ids = [type(first)(int=first.int & ~0xF | n) for n in range(4)]  # as four processes may make ids at the same time
    for row_id in ids:
        await storage.for_tenant("acme").append_event(sample(EventRow, "acme"), id=row_id)
    page = (await client.get("/events", params={"limit": 2}, headers=ACME)).json()
    assert [event["id"] for event in page["events"]] == [str(row_id) for row_id in ids]
    assert page["next"] is None


async def test_errors_that_the_client_can_fix_are_4xx(client: httpx.AsyncClient) -> None:
    wrong = json.loads(sample(TraceRow, "acme").to_json()) | {"retries": -1}
    refused = await client.post("/traces", json=wrong, headers=ACME)
    assert refused.status_code == 422
    assert "traces.retries" in refused.json()["detail"]
    anothers = await client.post("/traces", content=sample(TraceRow, "other").to_json(), headers=ACME)
    assert anothers.status_code == 403
    assert (await client.get("/traces", headers={"X-Tenant": "x" * 65})).status_code == 422
    assert (await client.get("/traces")).status_code == 422  # no tenant
    assert (await client.get("/traces", params={"limit": -1}, headers=ACME)).status_code == 422
    naive = datetime.now(UTC).replace(tzinfo=None).isoformat()
    assert (await client.get("/events", params={"since": naive}, headers=ACME)).status_code == 422


async def test_a_storage_that_cannot_be_used_is_503_with_retry_after(
    client: httpx.AsyncClient, storage: StorageDispatcher
) -> None:
    await storage.close()
    failed = await client.get("/traces", headers=ACME)
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "1")
    assert failed.json() == {"detail": "the storage is unavailable"}


async def _probe(client: httpx.AsyncClient, path: str) -> tuple[int, Any]:
    answer = await client.get(path)
    return answer.status_code, answer.json()


async def test_a_process_with_a_schema_that_is_behind_is_live_and_not_ready(
    client: httpx.AsyncClient, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await _probe(client, "/ready") == (200, {"ready": True, "reasons": []})
    await schema.downgrade(url, "-1")
    assert await _probe(client, "/ready") == (503, {"ready": False, "reasons": ["schema_behind"]})
    assert "not ready: schema_behind: the schema is at revision" in caplog.text
    assert await _probe(client, "/live") == (200, {"live": True})


async def test_a_process_with_an_exhausted_pool_is_live_and_not_ready(
    client: httpx.AsyncClient, storage: StorageDispatcher
) -> None:
    assert isinstance(storage.backend, SqlRepository)
    await storage.for_tenant("acme").load_traces(1)
    async with AsyncExitStack() as held:
        for _ in range(15):  # the default pool_size
            await held.enter_async_context(storage.backend.engine.connect())
        assert await _probe(client, "/ready") == (503, {"ready": False, "reasons": ["pool_exhausted"]})
        assert await _probe(client, "/live") == (200, {"live": True})
    assert await _probe(client, "/ready") == (200, {"ready": True, "reasons": []})


async def test_a_process_with_a_closed_storage_is_live_and_not_ready(
    client: httpx.AsyncClient, storage: StorageDispatcher
) -> None:
    await storage.close()
    assert await _probe(client, "/ready") == (503, {"ready": False, "reasons": ["closed"]})
    assert await _probe(client, "/live") == (200, {"live": True})


def test_the_probes_of_the_documentation_ask_this_application(app: FastAPI) -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "health.md").read_text(encoding="utf-8")
    [manifest] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    [container] = yaml.safe_load(manifest)["spec"]["template"]["spec"]["containers"]
    liveness, readiness = container["livenessProbe"], container["readinessProbe"]
    ports = {container["ports"][0]["name"]}
    assert {probe["httpGet"]["port"] for probe in (liveness, readiness)} == ports
    assert [probe["httpGet"]["path"] for probe in (liveness, readiness)] == ["/live", "/ready"]
    assert {"/live", "/ready"} <= {route.path for route in app.routes if isinstance(route, APIRoute)}
    longest = HealthCheck.database_seconds + HealthCheck.pool_seconds
    assert longest < readiness["timeoutSeconds"] <= readiness["periodSeconds"]
