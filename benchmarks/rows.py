"""The sample rows, which are the same for every contender."""

from axon_storage import EventRow, SessionRow, TraceRow

TENANT = "acme"
"""The tenant of the timed saves and appends."""

KEPT = "globex"
"""The tenant whose traces are stored in advance, to be listed, read and deleted."""

TOPICS = 100
_SCOPES, _KEYS = 16, 4096  # more keys than tasks, so that no two tasks save the same key at once


def trace(number: int, tenant: str = TENANT) -> TraceRow:
    """Make a trace with two documents of about a kilobyte together."""
    steps = [
        {"step": step, "tool": "search", "ms": 12.5 * step, "text": f"found {number + step} of the passages asked for"}
        for step in range(8)
    ]
    return TraceRow(
        tenant_id=tenant,
        trace_id=number,
        flow_name=f"flow-{number % 50}",
        status="succeeded",
        steps_executed=8,
        latency_ms=1250 + number % 500,
        tokens_input=3200,
        tokens_output=480,
        anchor_checks=3,
        anchor_breaches=0,
        errors=0,
        retries=1,
        source_file="flows/answers/retrieve.axon",
        backend="anthropic",
        client_key=f"key-{number % 20}",
        replay_of=None,
        correlation_id=f"request-{number:08x}",
        events=steps,
        annotations={"reviewed": False, "tags": ["retrieval", "nightly"], "score": 0.75, "note": "a short remark"},
    )


def event(number: int, tenant: str = TENANT) -> EventRow:
    """Make an event with a small document."""
    payload = {"text": f"message {number}", "tokens": 42, "model": "small", "final": True, "cost": 0.0015}
    return EventRow(tenant_id=tenant, topic=f"topic-{number % TOPICS}", source="api", payload=payload)


def session(number: int, tenant: str = TENANT) -> SessionRow:
    """Make a session entry with a value of 200 characters; keys repeat."""
    key = number % _KEYS
    value = f"{number:08d}" * 25
    return SessionRow(
        tenant_id=tenant, scope=f"chat-{key % _SCOPES}", key=f"fact-{key}", value=value, source_step="ask"
    )
