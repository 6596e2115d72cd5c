"""``axon-storage tail``: the last events of a tenant, and new ones as they arrive."""

import sys
from typing import Annotated, Any

import typer

from axon_storage.cli.formats import cell, moment
from axon_storage.cli.options import DEFAULT_TENANT, Json, Limit, Tenant, Topic, Url, opened, tenant_of
from axon_storage.cli.terminal import note, printable, run, show, show_json_text
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
    as_json: Json = False,
) -> None:
    """Show the last events of one tenant, the oldest first; with -f also each new one. Ctrl-C ends with status 130."""
    run(_tail(url, tenant_of(tenant), topic, limit, poll if follow else None, as_json=as_json))


async def _tail(url: str, tenant: str, topic: str | None, limit: int, poll: float | None, *, as_json: bool) -> None:
    async with opened(url) as storage:
        view: Any = storage.for_tenant(tenant)
        last = []
        async for recorded in view.iter_events(topic=topic, reverse=True, page_size=min(limit, 500)):
            last.append(recorded)
            if len(last) == limit:
                break
        for recorded in reversed(last):
            _show(recorded, as_json=as_json)
        if poll is None:
            if not last:
                note(f"tenant {printable(tenant)!r} has no such events")
            return
        after = last[0].id if last else new_id()
        async for recorded in view.follow_events(topic, after=after, poll=poll):
            _show(recorded, as_json=as_json)


def _show(recorded: Any, *, as_json: bool) -> None:
    event = recorded.row
    if as_json:
        head = f'{{"id":"{recorded.id}","timestamp":"{recorded.timestamp.isoformat()}",'
        show_json_text(head + event.to_json().decode()[1:])
    else:
        fields = (event.topic, event.source, cell(event.payload))
        show("  ".join([moment(recorded.timestamp), *map(printable, fields)]))
    sys.stdout.flush()
