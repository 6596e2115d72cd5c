"""The health of backends that implement only ``is_healthy()``, and what a Health says."""

import asyncio

import pytest

from axon_storage import Health, HealthReason, HealthReasonName, StorageConnectionError
from axon_storage.backend.health import health_from
from tests.third_party.dict_backend import DictBackend

DATABASE = ["closed", "cannot_open", "unreachable", "no_schema", "schema_behind", "read_only", "check_failed"]


class Failing(DictBackend):
    """A backend whose ``is_healthy()`` breaks its promise not to raise."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def is_healthy(self) -> bool:
        raise self.error


async def test_a_backend_with_is_healthy_alone_has_a_health() -> None:
    storage = DictBackend()
    assert (await storage.health()).reasons == ()
    await storage.close()
    health = await storage.health()
    assert not health.healthy
    assert not health.ready
    assert [str(reason) for reason in health.reasons] == [
        "check_failed: is_healthy() is False, and this backend gives no reason"
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [(StorageConnectionError("the service is down"), "the service is down"), (ValueError("a secret"), "ValueError")],
)
async def test_health_does_not_raise_the_error_of_is_healthy(error: Exception, message: str) -> None:
    health = await Failing(error).health()
    assert health.reasons == (HealthReason(HealthReasonName.CHECK_FAILED, message),)


async def test_an_is_healthy_that_does_not_return_is_unreachable() -> None:
    async def never() -> bool:
        await asyncio.Event().wait()
        return True

    health = await health_from(never, seconds=0.05)
    assert health.reasons == (HealthReason(HealthReasonName.UNREACHABLE, "no answer within 0.05 s"),)
    assert health.seconds > 0


@pytest.mark.parametrize("name", HealthReasonName)
def test_each_reason_says_whether_calls_fail_or_wait(name: HealthReasonName) -> None:
    health = Health((HealthReason(name, ""),), 0.0)
    assert health.healthy == (name not in DATABASE)
    assert health.ready == (name == "schema_ahead")


def test_one_reason_that_calls_fail_is_enough() -> None:
    reasons = [HealthReason(HealthReasonName(name), "") for name in ("schema_ahead", "read_only", "queue_full")]
    assert not Health(tuple(reasons), 0.0).healthy
    assert not Health(tuple(reasons), 0.0).ready
