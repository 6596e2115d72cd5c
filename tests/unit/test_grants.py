"""schema.grants(): the statements that give accounts their rights."""

import pytest

from axon_storage import InvalidArgumentError, schema
from axon_storage.sql.tables import VERSION_TABLE, metadata

URLS = {
    "postgresql": "postgresql://h/agents?search_path=acme,public",
    "mysql": "mysql://h/agents",
    "mariadb": "mariadb://h/agents",
    "oracle": "oracle://owner@h/?service_name=x",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_every_table_is_covered_for_every_role(url: str) -> None:
    lines = schema.grants(url, app="a", reader="r", maintenance="m").splitlines()
    for account in "arm":
        of_account = [line for line in lines if line.startswith("GRANT") and line.rstrip(";`").endswith(account)]
        for table in (*metadata.tables, VERSION_TABLE):
            assert [line for line in of_account if f".{table} TO" in line], (account, table)


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_the_application_inserts_and_selects_audit_entries_only(url: str) -> None:
    [line] = [line for line in schema.grants(url, app="a").splitlines() if ".audit_log TO" in line]
    assert line.startswith("GRANT SELECT, INSERT ON ")


def test_names_are_quoted() -> None:
    assert 'TO "Ad""a";' in schema.grants(URLS["postgresql"], app='Ad"a')
    assert "TO `a``da`@`10.%`;" in schema.grants(URLS["mysql"], app="'a`da'@'10.%'")
    assert "TO `a@b`@`c`;" in schema.grants(URLS["mysql"], app="a@b@c")
    assert 'TO "Ada";' in schema.grants(URLS["oracle"], app="Ada")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("postgresql", ""),
        ("postgresql", "public"),
        ("postgresql", "a" * 64),
        ("postgresql", "a\nb"),
        ("mysql", "@host"),
        ("mysql", "a\0"),
        ("oracle", 'a"b'),
        ("oracle", "owner"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(kind: str, name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        schema.grants(URLS[kind], app=name)


def test_sqlite_is_refused_with_what_to_use() -> None:
    with pytest.raises(InvalidArgumentError, match="permissions of the file"):
        schema.grants("sqlite:///agents.db", app="a")
