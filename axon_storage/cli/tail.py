"""``axon-storage tail``: the last events of a tenant, and new ones as they arrive."""

import sys
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from axon_storage.cli.formats import cell, moment, row_json
from axon_storage.cli.options import DEFAULT_TENANT, Json, KeyringFile, Limit, Tenant, Topic, Url, opened, tenant_of
from axon_storage.cli.terminal import note, printable, quoted, run, show, show_json_text
from axon_storage.dispatcher import StorageDispatcher
from axon_storage.model.ids import new_id

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Wait for new events, until Ctrl-C.")]
Poll = Annotated[float, typer.Option(min=0.05, help="Seconds between two queries of --follow.")]


def tail(
    url: Url,
    *,
    topic: Topic = None,
    follow: Follow = False,
    tenant: Tenant = DEFAULT_TENANT,
    limit: Limit = 10,
    poll: Poll = 1.0,
    keyring: KeyringFile = None,
    as_json: Json = False,
) -> None:
    """Show the last events of one tenant, the oldest first.

    With -f also each new one, until Ctrl-C, which ends the command with status 130.
    """
    tenant = tenant_of(tenant)
    run(_tail(opened(url, keyring), tenant, topic, limit, poll if follow else None, as_json=as_json))


async def _tail(
    opening: AbstractAsyncContextManager[StorageDispatcher],
    tenant: str,
    topic: str | None,
    limit: int,
    poll: float | None,
    *,
    as_json: bool,
) -> None:
    async with opening as storage:
        view: Any = storage.for_tenant(tenant)
        last, known = await _last(view, topic, limit, followed=poll is not None)
        for recorded in reversed(last):
            _show(recorded, as_json=as_json)
        if poll is None:
            if not last:
                note(f"tenant {quoted(tenant)} has no such events")
            return
        after = last[0].id if last else new_id()
        async with aclosing(view.follow_events(topic, after=after, poll=poll)) as events:
            async for recorded in events:
                if recorded.id not in known:
                    _show(recorded, as_json=as_json)


async def _last(view: Any, topic: str | None, limit: int, *, followed: bool) -> tuple[list[Any], set[UUID]]:
    """Return the newest events, the newest first, and the ids that :meth:`follow_events` yields again."""
    last: list[Any] = []
    known: set[UUID] = set()
    async with aclosing(view.iter_events(topic=topic, reverse=True)) as events:
        async for recorded in events:
            if len(last) < limit:
                last.append(recorded)
            elif not followed or last[0].timestamp - recorded.timestamp > timedelta(seconds=view.follow_horizon + 1):
                break
            known.add(recorded.id)
    return last, known


def _show(recorded: Any, *, as_json: bool) -> None:
    event = recorded.row
    if as_json:
        show_json_text(row_json(recorded))
    else:
        fields = (event.topic, event.source, cell(event.payload))
        show("  ".join([moment(recorded.timestamp), *map(printable, fields)]))
    sys.stdout.flush()
