"""A traced request: saves a session and appends three events while other requests write, and prints the spans.

Run it with ``pip install 'axon-storage[otel]' opentelemetry-sdk`` and optionally the environment variable DATABASE_URL.
"""

import asyncio
import os

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from axon_storage import EventRow, SessionRow, StorageBackend, open_storage

URL = os.environ.get("DATABASE_URL", "sqlite:///traced.db")
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("agent server")


def event(source: str) -> EventRow:
    """Make an event."""
    return EventRow(topic="runs", source=source, payload={"step": 1})


async def request(storage: StorageBackend) -> trace.SpanContext:
    """Handle a request inside a span, and return the context of the span."""
    with tracer.start_as_current_span("POST /runs") as span:
        await storage.save_session(SessionRow(scope="chat", key="name", value="Ada", source_step="ask"))
        for number in range(3):
            await storage.append_event(event(f"agent-{number}"))
        return span.get_span_context()


async def load(storage: StorageBackend, stop: asyncio.Event) -> None:
    """Append events until ``stop`` is set."""
    while not stop.is_set():
        await storage.append_event(event("other"))


async def main() -> None:
    """Handle one request under load, and print its trace."""
    async with open_storage(URL, tracer_provider=provider, migrate=True) as storage:
        stop = asyncio.Event()
        others = [asyncio.create_task(load(storage, stop)) for _ in range(16)]
        await asyncio.sleep(0.1)
        traced = await request(storage)
        stop.set()
        await asyncio.gather(*others)
    show(traced, exporter.get_finished_spans())


def show(traced: trace.SpanContext, spans: tuple[ReadableSpan, ...]) -> None:
    """Print the spans of a trace, and of the group commits that carried its calls."""
    own = [span for span in spans if span.context is not None and span.context.trace_id == traced.trace_id]
    start = min(span.start_time or 0 for span in own)
    for span in sorted(own, key=lambda span: span.start_time or 0):
        print(line(span, start, "  " if span.parent else ""))  # noqa: T201  # a script
        for batch in spans:
            if span.context is not None and span.context.span_id in [link.context.span_id for link in batch.links]:
                print(line(batch, start, "    linked from: "))  # noqa: T201  # a script


def line(span: ReadableSpan, start: int, indent: str) -> str:
    """Describe a span with its times since ``start``."""
    begin, end = ((moment or 0) - start for moment in (span.start_time, span.end_time))
    size = (span.attributes or {}).get("db.operation.batch.size")
    return f"{indent}{span.name}: {begin / 1e6:.1f} to {end / 1e6:.1f} ms" + (f", {size} calls" if size else "")


if __name__ == "__main__":
    asyncio.run(main())
