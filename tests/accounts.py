"""Accounts of the test servers, with the rights that ``axon-storage migrate grants`` gives."""

from collections.abc import Iterable, Sequence
from uuid import uuid4

from sqlalchemy import URL, text
from sqlalchemy.engine import make_url

from axon_storage import create_engine, schema
from axon_storage.dialects import of_scheme

SECRET = "throwaway1"


def statements_of(script: str) -> list[str]:
    """Return the statements of a script of grants, without the commands of the client and the comments."""
    return [line.removesuffix(";") for line in script.splitlines() if line.endswith(";")]


async def run(url: str, statements: Iterable[str]) -> None:
    """Run statements, each by itself, as its client does."""
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for statement in statements:
                await connection.execute(text(statement.replace(":", r"\:")))
    finally:
        await engine.dispose()


def without_password(url: URL) -> URL:
    """Return a URL without its password; ``URL.set`` keeps it."""
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)


class Account:
    """A new account. ``owner``: the URL of the owner of the tables. ``administrator``: that of an administrator."""

    def __init__(self, owner: str, administrator: str) -> None:
        self.name = f"axon_{uuid4().hex[:12]}"
        self._owner, self._administrator = make_url(owner), administrator

    @property
    def url(self) -> str:
        """The URL with which the account uses the owner's tables."""
        url = self._owner.set(username=self.name, password=SECRET)
        if self._is_oracle:
            url = url.update_query_dict({"current_schema": str(self._owner.username)})
        return _text(url)

    @property
    def drop(self) -> tuple[str, str]:
        """The URL of an account that can drop this one, and the statement."""
        kind = {"PostgreSQL": "ROLE {}", "Oracle": "USER {} CASCADE"}.get(self._title, "USER {}")
        return self._administrator, f"DROP {kind.format(self.name)}"

    async def create(self, roles: Sequence[str]) -> None:
        """Create the account, and give it the rights of some roles: app, reader, maintenance."""
        kind, how = {
            "PostgreSQL": ("ROLE", f"LOGIN PASSWORD '{SECRET}'"),
            "Oracle": ("USER", f"IDENTIFIED BY {SECRET}"),
        }.get(self._title, ("USER", f"IDENTIFIED BY '{SECRET}'"))
        await run(self._administrator, [f"CREATE {kind} {self.name} {how}"])
        statements = statements_of(schema.grants(_text(self._owner), **dict.fromkeys(roles, self.name)))
        # The administrator of the Oracle double cannot grant rights on the tables of others.
        by_owner = [each for each in statements if " SESSION " not in each]
        await run(self._administrator, [each for each in statements if each not in by_owner])
        await run(_text(self._owner), by_owner)

    @property
    def _title(self) -> str:
        return of_scheme(self._owner.drivername).title

    @property
    def _is_oracle(self) -> bool:
        return self._title == "Oracle"


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
