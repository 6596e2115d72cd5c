"""Tracing: a span of OpenTelemetry for each call, each group commit and each ``transaction()`` block."""

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from time import perf_counter

from opentelemetry.context import attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider, set_span_in_context

from axon_storage.engine.observer import Call, Kind, Observer
from axon_storage.errors import StorageError
from axon_storage.observability import names
from axon_storage.observability.described import Described, description, error_attributes
from axon_storage.observability.source import Attributes, Source

EXPLAINED_SECONDS = 0.01
"""A span has the times of its call's phases if the call took so long. They would be a fifth of the cost of a span."""


class Tracing(Observer):
    """Makes spans. Each is the current span while its call runs, so that others' spans of statements are its children.

    ``with_tenant``: the spans of calls have the tenant.
    """

    def __init__(self, provider: TracerProvider, source: Source, *, with_tenant: bool) -> None:
        self._tracer = provider.get_tracer("axon_storage", version("axon-storage"), names.SCHEMA_URL)
        self._described, self._with_tenant = Described(source), with_tenant

    def begin(self, call: Call) -> None:
        """Begin a span, and make it the current one."""
        known = self._described.known(call)
        is_block = call.kind is Kind.BLOCK
        call.span = self._tracer.start_span(
            known.span_name,
            # The application's own code runs in a block.
            kind=SpanKind.INTERNAL if is_block else SpanKind.CLIENT,
            attributes=self._attributes(call, known.span_attributes),
            links=_links(call.carried) if call.carried else None,
        )
        call.task = asyncio.current_task() if is_block else None
        call.token = attach(set_span_in_context(call.span))

    def end(self, call: Call, error: BaseException | None) -> None:
        """End the span."""
        span = call.span
        if span is None:
            return
        # The end of an async context manager may run in another task, whose current span is not this one.
        if call.task is None or call.task is asyncio.current_task():
            detach(call.token)
        try:
            if span.is_recording():
                if error is not None:
                    span.set_attributes(error_attributes(error))
                    span.set_status(Status(StatusCode.ERROR, description(error)))
                if call.kind is not Kind.BLOCK and perf_counter() - call.started >= EXPLAINED_SECONDS:
                    _set_times(span, call)
        finally:
            span.end()

    def retrying(self, call: Call, attempt: int, pause: float, error: StorageError) -> None:
        """Add an event for the next attempt."""
        if call.span is not None:
            known = {names.RETRY_ATTEMPT: attempt + 1, names.RETRY_PAUSE: pause}
            call.span.add_event(names.RETRY, {**known, **error_attributes(error)})

    def _attributes(self, call: Call, known: Attributes) -> Attributes:
        size = len(call.carried) or call.size
        if size > 1:
            known = {**known, names.BATCH_SIZE: size}
        if self._with_tenant and call.tenant is not None:
            known = {**known, names.TENANT: call.tenant}
        return known


def _links(carried: Sequence[Call]) -> list[Link]:
    contexts = [call.span.get_span_context() for call in carried if call.span is not None]
    return [Link(context) for context in contexts if context.trace_flags.sampled]


def _set_times(span: Span, call: Call) -> None:
    spent = call.spent()
    span.set_attributes(
        {
            names.TURN_TIME: spent.turn,
            names.CONNECTION_TIME: spent.connection,
            names.DATABASE_TIME: spent.database,
            **({names.PAUSE_TIME: spent.pause} if spent.pause else {}),
        }
    )
