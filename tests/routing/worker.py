"""A process that writes to a tenant of a site, and prints the number of each call that was acknowledged.

Arguments: the URLs of the home database and of the databases ``one`` and ``two``, and a name. It ends when its standard
input does.
"""

import asyncio
import sys
import threading

from axon_storage import EventRow, SessionRow, StorageConnectionError, StorageError, TenantRouter
from tests.routing.sites import Site

TENANT, TASKS, SECONDS = "acme", 3, 0.2


def _event(text: str) -> EventRow:
    return EventRow(topic="load", source="worker", payload=text)


def _say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def _write(router: TenantRouter, name: str, task: int, ended: threading.Event) -> None:
    storage, number = router.for_tenant(TENANT), 0
    while not ended.is_set():
        number += 1
        text = f"{name} {task} {number}"
        try:
            if number % 5:
                await storage.append_event(_event(text))
            else:
                async with storage.transaction() as transaction:
                    await transaction.append_event(_event(text))
                    await transaction.save_session(SessionRow(scope=name, key=str(task), value=text, source_step=""))
        except StorageError as error:
            _say("?" if isinstance(error, StorageConnectionError) and error.transient else "!", text, str(error))
        else:
            _say("+", text)
        if number % 7 == 0 and not await storage.get_session(name, str(task)):
            _say("!", text, "a session is missing")
        await asyncio.sleep(0.002)


def _wait(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


async def main(home: str, one: str, two: str, name: str) -> None:
    """Write until the end of the standard input."""
    ended = threading.Event()
    threading.Thread(target=_wait, args=[ended], daemon=True).start()
    async with Site(home, one, two).router(SECONDS) as router:
        await asyncio.gather(*(_write(router, name, task, ended) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
