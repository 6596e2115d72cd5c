"""``doctor`` names what an account may do beyond the rights of an application, however it was given."""

import pytest
from sqlalchemy.engine import make_url

from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from tests.accounts import run
from tests.databases import Databases

OF_MYSQL = (
    "GRANT UPDATE, DELETE ON {database}.audit_log TO {name}",
    "GRANT SELECT, ALTER, TRIGGER ON {database}.* TO {name} WITH GRANT OPTION",
    "GRANT PROCESS ON *.* TO {name}",
    "CREATE ROLE r_{name}",
    "GRANT DROP ON {database}.* TO r_{name}",
    "GRANT r_{name} TO {name}",
)
UNNEEDED = {
    "postgresql": (
        (
            "GRANT UPDATE, DELETE ON audit_log TO {name}",
            "GRANT TRUNCATE ON sessions TO {name}",
            "GRANT CREATE ON SCHEMA public TO {name}",
            "GRANT CREATE ON DATABASE {database} TO {name}",
            "ALTER TABLE daemons OWNER TO {name}",
            "ALTER ROLE {name} CREATEDB",
        ),
        "CREATEDB; ownership of daemons; TRUNCATE on sessions; CREATE on the schema public; "
        "CREATE on the database {database}; UPDATE on audit_log; DELETE on audit_log",
    ),
    "mysql": (
        (*OF_MYSQL, "SET DEFAULT ROLE ALL TO {name}"),
        "PROCESS on *.*; DROP, ALTER, TRIGGER, GRANT OPTION on `{database}`.*; "
        "UPDATE on audit_log; DELETE on audit_log",
    ),
    "mariadb": (
        (*OF_MYSQL, "SET DEFAULT ROLE r_{name} FOR {name}"),
        "PROCESS on *.*; ALTER, TRIGGER, GRANT OPTION on `{database}`.*; DROP on `{database}`.*; "
        "UPDATE on audit_log; DELETE on audit_log",
    ),
}
"""Statements that give an account more than an application needs, and what ``doctor`` finds then."""
AFTERWARDS = {
    "postgresql": ["ALTER TABLE daemons OWNER TO {owner}"],
    "mysql": ["DROP ROLE r_{name}"],
    "mariadb": ["DROP ROLE r_{name}"],
}


@pytest.mark.needs_role("owner", reason="it gives an account more rights")
@pytest.mark.parametrize("target", UNNEEDED)
async def test_doctor_names_what_an_application_does_not_need(databases: Databases, target: str) -> None:
    owner = (await databases.ready(target))[0]
    url = await databases.account(target, owner, ["app"], for_run=True)
    names = {"name": make_url(url).username, "owner": make_url(owner).username, "database": make_url(owner).database}
    statements, expected = UNNEEDED[target]
    await run(owner, [each.format(**names) for each in statements])
    try:
        [found] = [each async for each in diagnose(url) if each.name == "account"]
    finally:
        await run(owner, [each.format(**names) for each in AFTERWARDS.get(target, [])])
    assert (found.status, "migrate grants" in found.remedy) == (Status.WARN, True)
    assert found.found == f"more than an application needs: {expected.format(**names)}"


@pytest.mark.not_on("sqlite", "a file has no accounts")
@pytest.mark.not_on("oracle-double", "it knows no privileges")
@pytest.mark.not_on("postgresql-pgbouncer", "the pooler connects as one account")
async def test_this_suite_runs_with_the_rights_of_an_application(url: str) -> None:
    [found] = [each async for each in diagnose(url) if each.name == "account"]
    assert found.found == "no more than an application needs"
