"""Make ``workload.jsonl``: the rows that the agents of two tenants write, one per line, in order.

Run ``python examples/record_workload.py > examples/workload.jsonl`` to make it again; it is the same every time.
"""

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

from axon_storage import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Row,
    ScheduleRow,
    SessionRow,
    TraceRow,
)

START = 1_790_000_000
FLOWS = {
    "acme": [("triage_ticket", ["read", "classify", "answer"]), ("weekly_digest", ["collect", "summarise", "send"])],
    "globex": [("check_invoice", ["parse", "match", "approve"]), ("forecast", ["load", "model", "report"])],
}
BACKENDS = ["anthropic", "openai", "local"]


def record() -> Iterator[Row]:
    """Yield the rows in the order of their writes, with the two tenants in turn."""
    chance = random.Random(42)  # noqa: S311  # repeatable, not secret
    for tenant in FLOWS:
        yield from _deploy(tenant)
    for turn in range(16):
        for tenant, flows in FLOWS.items():
            flow, steps = flows[turn % len(flows)]
            yield from _execute(tenant, flow, steps, turn, chance)


def _deploy(tenant: str) -> Iterator[Row]:
    for flow, _ in FLOWS[tenant]:
        yield AuditRow(tenant_id=tenant, action="deploy", actor="ci", target=f"flows/{flow}.axon", detail={"sha": "a1"})
        yield _daemon(tenant, flow, 0, "waiting")
        yield _schedule(tenant, flow, 0)


def _execute(tenant: str, flow: str, steps: list[str], turn: int, chance: random.Random) -> Iterator[Row]:
    trace = chance.getrandbits(64)
    backend = chance.choice(BACKENDS)
    now = START + turn * 60
    yield EventRow(tenant_id=tenant, topic=f"{flow}.requested", source="api", payload={"turn": turn, "trace": trace})
    yield _daemon(tenant, flow, turn + 1, "running")
    yield _trace(tenant, trace, flow, backend, [])
    done: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        tokens = chance.randrange(200, 4000)
        done.append({"step": step, "tokens": tokens, "score": round(chance.random(), 3)})
        said = f"{step} of {flow} №{turn}: “{chance.choice(['fine', 'needs a look', 'ça va', '好'])}”\n" * (number + 1)
        yield SessionRow(tenant_id=tenant, scope=f"{flow}/{turn}", key=step, value=said, source_step=step)
        yield CostRow(
            tenant_id=tenant, flow_name=flow, backend=backend, input_tokens=tokens, output_tokens=tokens // 4,
            cost_usd=tokens * 3e-6,
        )  # fmt: skip
        yield EventRow(tenant_id=tenant, topic=f"{flow}.step", source=step, payload=done[-1])
    yield CacheRow(
        tenant_id=tenant, flow_name=flow, cache_key=f"turn-{turn % 5}", result={"answer": done}, ttl_secs=None,
        hit_count=turn,
    )  # fmt: skip
    yield AxonStoreRow(
        tenant_id=tenant, name=f"{flow}-facts", ontology="fact(subject, predicate, object)",
        entries=[[flow, "ran", index] for index in range(turn + 1)], created_at=START, total_ops=turn + 1,
    )  # fmt: skip
    yield DataspaceRow(
        tenant_id=tenant, name="knowledge", ontology="concept; link",
        entries={str(n): FLOWS[tenant][n % 2][0] for n in range(turn)},
        associations=[[n, n + 1, 0.5] for n in range(turn)], created_at=START, total_ops=turn, next_id=turn + 1,
    )  # fmt: skip
    if turn % 3 == 0:
        yield HibernationRow(
            tenant_id=tenant, id=f"agent-{turn}", name=flow, operation="wait_for_reply", status="hibernating",
            checkpoints=[{"id": 1, "state": done}], resumed_from=None, created_at=now, last_status_change=now,
            next_checkpoint_id=2,
        )  # fmt: skip
    yield _trace(tenant, trace, flow, backend, done)
    yield _schedule(tenant, flow, turn + 1)
    yield AuditRow(tenant_id=tenant, action="execute", actor=f"daemon/{flow}", target=str(trace), detail={"ok": True})


def _trace(tenant: str, trace: int, flow: str, backend: str, done: list[dict[str, Any]]) -> TraceRow:
    tokens = sum(step["tokens"] for step in done)
    return TraceRow(
        tenant_id=tenant, trace_id=trace, flow_name=flow, status="completed" if done else "running",
        steps_executed=len(done), latency_ms=tokens // 3, tokens_input=tokens, tokens_output=tokens // 4,
        anchor_checks=len(done), anchor_breaches=0, errors=0, retries=0, source_file=f"flows/{flow}.axon",
        backend=backend, client_key="", replay_of=None, correlation_id=f"req-{trace:x}", events=done, annotations={},
    )  # fmt: skip


def _daemon(tenant: str, flow: str, events: int, state: str) -> DaemonRow:
    return DaemonRow(
        tenant_id=tenant, name=f"{flow}-daemon", state=state, source_file=f"flows/{flow}.axon", flow_name=flow,
        event_count=events, restart_count=0, trigger_topic=f"{flow}.requested", output_topic=None,
        lifecycle_events=[{"at": START, "state": "started"}],
    )  # fmt: skip


def _schedule(tenant: str, flow: str, runs: int) -> ScheduleRow:
    return ScheduleRow(
        tenant_id=tenant, name=f"{flow}-hourly", flow_name=flow, interval_secs=3600, enabled=True, backend="local",
        last_run=START + runs * 3600, next_run=START + (runs + 1) * 3600, run_count=runs, error_count=0,
    )  # fmt: skip


if __name__ == "__main__":
    for row in record():
        line = {"table": row.TABLE, "row": json.loads(row.to_json())}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
