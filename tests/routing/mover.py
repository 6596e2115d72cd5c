"""A process that moves the tenant of the workers, and prints each step and page.

Arguments: the URLs of the home database and of the databases ``one`` and ``two``, and the database to move to.
"""

import asyncio
import sys

from axon_storage.moving import MoveStep
from axon_storage.transfer import Progress
from tests.routing.sites import Site
from tests.routing.worker import TENANT


def _show(step: MoveStep | Progress) -> None:
    sys.stdout.write(f"{step if isinstance(step, MoveStep) else 'page'}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Site(*sys.argv[1:4]).move(TENANT, sys.argv[4], step=_show, progress=_show))
