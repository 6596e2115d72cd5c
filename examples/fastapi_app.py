"""A web API on the storage: a tenant for each request, lists in pages, errors as HTTP statuses, probes of its health.

``pip install axon-storage fastapi uvicorn`` and ``DATABASE_URL=sqlite:///agents.db uvicorn fastapi_app:app`` run it. On
a server, ``axon-storage migrate upgrade`` creates the tables first.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime

from axon_storage import (
    EventRow,
    Recorded,
    SerializationError,
    StorageBackend,
    StorageConnectionError,
    StorageDispatcher,
    StorageError,
    TenantMismatchError,
    TraceRow,
    open_storage,
)

log = logging.getLogger(__name__)


async def _storage_of_tenant(request: Request, x_tenant: Annotated[str, Header()]) -> StorageBackend:
    # The tenant is a view, not a tenant_scope(): FastAPI runs a synchronous dependency in a worker thread, and a
    # context variable that is set there does not reach the endpoint. In production take the tenant from the
    # authenticated user.
    storage: StorageDispatcher = request.app.state.storage
    return storage.for_tenant(x_tenant)


Storage = Annotated[StorageBackend, Depends(_storage_of_tenant)]
Limit = Annotated[int, Query(ge=1, le=500)]


def create_app(url: str | None = None) -> FastAPI:
    """Make the application; its storage is open from startup to shutdown. Without ``url``, ``DATABASE_URL`` is used."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_storage(url, require_tenant=True) as storage:
            app.state.storage = storage
            yield

    app = FastAPI(title="Agent traces", lifespan=lifespan)
    app.add_api_route("/traces", save_trace, methods=["POST"], status_code=204)
    app.add_api_route("/traces", list_traces)
    app.add_api_route("/traces/{trace_id}", get_trace)
    app.add_api_route("/events", list_events)
    app.add_api_route("/live", live)
    app.add_api_route("/ready", ready)
    app.exception_handler(StorageError)(storage_error)
    return app


async def save_trace(request: Request, storage: Storage) -> None:
    """Save the trace in the request body; it replaces a trace with the same ``trace_id``."""
    # from_json and not a Pydantic model, because it keeps JSON values exactly, and its errors name the field
    await storage.save_trace(TraceRow.from_json(await request.body()))


async def list_traces(storage: Storage, limit: Limit = 50, offset: Annotated[int, Query(ge=0)] = 0) -> Response:
    """Return a page of the traces, newest first."""
    return _json(await storage.load_traces(limit, offset))


async def get_trace(storage: Storage, trace_id: int) -> Response:
    """Return one trace."""
    trace = await storage.get_trace(trace_id)
    if trace is None:
        raise HTTPException(404, "no such trace")
    return _json(trace)


async def list_events(
    storage: Storage, topic: str | None = None, since: AwareDatetime | None = None, limit: Limit = 50
) -> Response:
    """Return a page of the events, oldest first; ``next`` is the ``since`` of the next page, or null on the last one.

    Events with the same timestamp are on the same page, so a page can be longer than ``limit``.
    """
    page: list[Recorded[EventRow]] = []
    async for event in storage.iter_events(topic=topic, since=since, page_size=limit + 1):
        if len(page) >= limit and event.timestamp > page[-1].timestamp:
            return _json({"events": page, "next": event.timestamp})
        page.append(event)
    return _json({"events": page, "next": None})


async def live() -> JSONResponse:
    """Answer, which says that the event loop runs. It asks no database, because a restart would not repair one."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> JSONResponse:
    """Report whether this process should get requests; if not, with the names of the reasons."""
    storage: StorageDispatcher = request.app.state.storage
    health = await storage.health()
    if not health.ready:  # the messages are for the operator: they may name hosts and accounts
        log.warning("not ready: %s", "; ".join(map(str, health.reasons)))
    names = [reason.name for reason in health.reasons]
    return JSONResponse({"ready": health.ready, "reasons": names}, 200 if health.ready else 503)


async def storage_error(_: Request, error: StorageError) -> JSONResponse:
    """Convert an error of the storage to a response: an invalid row (422), another tenant's row (403), else 503."""
    if isinstance(error, SerializationError | TenantMismatchError):
        return JSONResponse({"detail": str(error)}, 422 if isinstance(error, SerializationError) else 403)
    log.error("%s", error)  # for the operator: the message may name hosts and tables
    if isinstance(error, StorageConnectionError) or error.transient:
        return JSONResponse({"detail": "the storage is unavailable"}, 503, {"Retry-After": "1"})
    return JSONResponse({"detail": "internal error"}, 500)


def _json(value: Any) -> Response:
    """Return a JSON response; orjson writes 64-bit integers exactly and keeps the order of keys."""
    return Response(orjson.dumps(value), media_type="application/json")


app = create_app()
