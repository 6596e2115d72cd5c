"""A home database and two databases between which tenants are moved."""

from typing import Any

from axon_storage import TenantRouter, open_storage
from axon_storage.moving import MoveResult, move


class Site:
    """``home``: the URL of the home database. ``databases``: the URLs of the databases ``one`` and ``two``."""

    def __init__(self, home: str, one: str, two: str) -> None:
        self.home, self.databases = home, {"one": one, "two": two}

    def router(self, seconds: float = 1e-6, **options: Any) -> TenantRouter:
        """Return a router that places new tenants in ``one``. ``seconds``: how long it uses a placement."""
        return TenantRouter(
            self.home, self.databases, place=lambda _: "one", catalogue_seconds=seconds, migrate=False, **options
        )

    async def move(self, tenant: str, to: str, **options: Any) -> MoveResult:
        """Move a tenant."""
        return await move(self.home, self.databases, tenant, to, migrate=False, **options)

    async def rows_in(self, name: str, tenant: str) -> int:
        """Return how many rows of a tenant a database has, with seals and records about prune runs."""
        async with open_storage(self.databases[name], migrate=False) as storage:
            return sum((await storage.for_tenant(tenant).erase_tenant(dry_run=True)).values())
