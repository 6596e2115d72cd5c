"""Engines from URLs, without a server: drivers, TLS, refused URLs, and the imports of the package."""

import ssl
import subprocess
import sys

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from axon_storage import SqlRepository, StorageConnectionError, create_engine
from axon_storage.dialects import DIALECTS, Tls, of_scheme
from axon_storage.engine.tls import split_tls
from axon_storage.engine.url import script_url

SCHEMES = [scheme for dialect in DIALECTS for scheme in dialect.schemes]


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("postgres://h/d", "postgresql+asyncpg"),
        ("postgresql://h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg"),
        ("mysql://h/d", "mysql+aiomysql"),
        ("mariadb://h/d", "mysql+aiomysql"),
        ("mysql+asyncmy://h/d", "mysql+asyncmy"),
        ("mariadb+asyncmy://h/d", "mysql+asyncmy"),
        ("oracle://h/?service_name=d", "oracle+oracledb"),
    ],
)
def test_a_plain_url_gets_its_async_driver(url: str, driver: str) -> None:
    engine = create_engine(url)
    assert f"{engine.dialect.name}+{engine.dialect.driver}" == driver
    assert engine.dialect.is_async


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:secret@h", "the URL names no database: scheme://user:password@host/name"),
        ("mongodb://u:secret@h/d", "unknown scheme 'mongodb': use sqlite://, postgres://, postgresql://, mysql://"),
        ("postgresql+psycopg2://u:secret@h/d", "unknown scheme"),
        ("not a url with secret", "the database URL cannot be parsed"),
        ("postgresql://u:secret@h:port/d", "the database URL cannot be parsed"),
        ("sqlite:///agents.db?mode_=ro&pool=secret", "SQLite's URLs have no parameter mode_"),
        ("sqlite://", ":memory: is refused"),
        ("sqlite:///:memory:", ":memory: is refused"),
        ("sqlite:///file::memory:?cache=shared&uri=true", ":memory: is refused"),
        ("sqlite:///file:x?mode=memory&uri=true", ":memory: is refused"),
        ("sqlite:///x.db?sslmode=require", "SQLite has no TLS"),
        ("postgresql://u:secret@h/d?sslcert=/x", "sslcert and sslkey are of no use without sslmode or sslrootcert"),
        ("mysql://u:secret@h/d?ssl_key=/x", "sslcert and sslkey are of no use without sslmode or sslrootcert"),
        ("postgresql://u:secret@h/d?sslmode=perhaps", "sslmode must be disable, prefer, require, verify-ca or"),
        ("mysql://u:secret@h/d?ssl_ca=/nowhere", "a TLS file cannot be read: No such file"),
        ("postgresql://u:secret@one,two:5432/d", "several hosts are parameters of the URL"),
        ("postgresql://u:secret@h/d?host=one&host=two", "names a host before the parameters, too: leave it out"),
        ("mysql://u:secret@/d?host=one,two,three&port=1,2", "the URL has 3 hosts and 2 ports: write host=one:3306&"),
        ("mariadb://u@/d?host=one&host=u:secret@two", "host 2 of the URL is not a name or an address with a port"),
        ("postgresql://u:secret@/d?host=one:5432&host=two&port=5433", "host 1 of the URL is not a name or an address"),
        ("postgresql://u:secret@/d?host=one&host=two:70000", "the port of host 2 of the URL is not between 1 and"),
        ("postgresql://u:secret@/d?host=one&host=two&port=secret", "host 1 of the URL is not a name or an address"),
        ("postgresql://u:secret@h/d?target_session_attrs=prefer-standby", "target_session_attrs must be any or read-"),
        ("mysql://u:secret@/d?host=one&host=two&target_session_attrs=secret", "must be any or read-write or read-only"),
        ("postgresql://u:secret@h/d?target_session_attrs=any&target_session_attrs=standby", "attrs more than once"),
        ("oracle://u:secret@/?service_name=d", "the URL names no host: oracle://user:password@host/"),
    ],
)
def test_an_invalid_url_is_refused_without_showing_its_password(url: str, message: str) -> None:
    with pytest.raises(StorageConnectionError) as refused:
        create_engine(url)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if not scheme.startswith("sqlite")])
@pytest.mark.parametrize(
    "rest",
    ["u:a@secret@h/d", "u:a@secret/b@h/d", "u:a@secret?b@h/d", "u:a@/secret@h/d", "u/b:a@secret@h/d", "a@secret/@h/d"],
)
def test_an_unescaped_at_in_the_password_is_refused(scheme: str, rest: str) -> None:
    for use in (create_engine, script_url):
        with pytest.raises(
            StorageConnectionError, match="an '@' in the database URL is not escaped: write %40"
        ) as refused:
            use(f"{scheme}://{rest}")
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None


def test_an_unescaped_at_in_the_password_of_a_hosts_engine_is_refused() -> None:
    with pytest.raises(StorageConnectionError, match="write %40"):
        SqlRepository(create_async_engine("postgresql+asyncpg://u:a@secret@h/d"))
    SqlRepository(create_async_engine("postgresql+asyncpg://u:a%40secret@h/d"))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///me@home.db",
        "sqlite:////tmp/me@home/agents.db",
        "postgresql://u%40v:a%40b@h/d",
        "postgresql://u@v:password@h/d",
        "postgresql://u@v@h/d",
        "postgresql://u:password@h/d?application_name=me@home",
        "postgresql:///d?host=/me@home",
    ],
)
def test_an_at_that_is_not_ambiguous_is_accepted(url: str) -> None:
    assert create_engine(url).url.password in {None, "a@b", "password"}


def test_an_engine_of_an_unsupported_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_async_engine("sqlite+aiosqlite:///x.db")
    monkeypatch.setattr(engine.dialect, "driver", "another")
    with pytest.raises(StorageConnectionError, match=r"the driver sqlite\+another is not supported"):
        SqlRepository(engine)


def test_engines_that_share_one_connection_or_skip_rollbacks_are_refused() -> None:
    url = "sqlite+aiosqlite:///x.db"
    with pytest.raises(StorageConnectionError, match="one connection for all tasks"):
        SqlRepository(create_async_engine(url, poolclass=StaticPool))
    with pytest.raises(StorageConnectionError, match="sets isolation_level"):
        SqlRepository(create_async_engine(url).execution_options(isolation_level="AUTOCOMMIT"))
    with pytest.raises(StorageConnectionError, match="has skip_autocommit_rollback"):
        SqlRepository(create_async_engine(url, skip_autocommit_rollback=True))
    with pytest.raises(StorageConnectionError, match="sets postgresql_readonly"):
        SqlRepository(create_async_engine("postgresql+asyncpg://h/d", execution_options={"postgresql_readonly": True}))


def test_a_memory_engine_is_refused() -> None:
    for url, message in (
        ("sqlite+aiosqlite:///:memory:", ":memory: is refused"),
        ("sqlite+aiosqlite://", ":memory: is refused"),
    ):
        with pytest.raises(StorageConnectionError, match=message):
            SqlRepository(create_async_engine(url))


@pytest.mark.parametrize(
    ("query", "verify", "hostname", "required"),
    [
        ("sslmode=require", ssl.CERT_NONE, False, True),
        ("ssl_mode=REQUIRED", ssl.CERT_NONE, False, True),
        ("sslmode=prefer", ssl.CERT_NONE, False, False),
        ("ssl_mode=PREFERRED", ssl.CERT_NONE, False, False),
        ("sslmode=verify-ca", ssl.CERT_REQUIRED, False, True),
        ("ssl_mode=VERIFY_CA", ssl.CERT_REQUIRED, False, True),
        ("sslmode=verify-full", ssl.CERT_REQUIRED, True, True),
        ("ssl_mode=VERIFY_IDENTITY", ssl.CERT_REQUIRED, True, True),
        ("ssl=true", ssl.CERT_REQUIRED, True, True),
    ],
)
def test_tls_parameters_mean_the_same_under_every_name(query: str, verify: int, hostname: bool, required: bool) -> None:
    url, tls = split_tls(make_url(f"mysql://h/d?{query}&other=kept"))
    assert dict(url.query) == {"other": "kept"}
    assert tls is not None
    assert tls.context is not None
    assert tls.context.verify_mode == verify
    assert tls.context.check_hostname == hostname
    assert tls.required == required


@pytest.mark.parametrize("query", ["", "?sslmode=disable", "?ssl_mode=DISABLED", "?ssl=false"])
def test_without_tls_in_the_url_there_is_no_tls_context(query: str) -> None:
    tls = split_tls(make_url(f"mysql://h/d{query}"))[1]
    assert tls is None if not query else tls == Tls(None, required=False)


def test_sslmode_disable_is_passed_to_the_driver() -> None:
    url, arguments = of_scheme("postgresql").connect_arguments(
        make_url("postgresql://h/d?statement_cache_size=0&host=x"), 1.0, Tls(None, required=False)
    )
    settings = {"application_name": "axon_storage"}
    assert arguments == {"timeout": 1.0, "server_settings": settings, "ssl": False, "statement_cache_size": 0}
    assert dict(url.query) == {"host": "x"}


@pytest.mark.parametrize(
    ("scheme", "module", "extra"),
    [
        ("postgresql", "asyncpg", "postgresql"),
        ("mysql", "aiomysql", "mysql"),
        ("mariadb+asyncmy", "asyncmy", "asyncmy"),
        ("oracle", "oracledb", "oracle"),
    ],
)
def test_a_missing_driver_names_the_extra_that_has_it(
    scheme: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StorageConnectionError, match=rf'needs .*pip install "axon-storage\[{extra}\]"'):
        create_engine(f"{scheme}://h/d")


def test_importing_the_package_imports_no_driver() -> None:
    modules = sorted(module for dialect in DIALECTS for module in dialect.driver_modules - {"sqlite3"})
    check = f"import sys, axon_storage; print([m for m in {modules!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_scheme_leads_to_its_dialect() -> None:
    for dialect in DIALECTS:
        for scheme in dialect.schemes:
            assert of_scheme(scheme) is dialect


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("host=one:1&host=two:2", [("one", 1), ("two", 2)]),
        ("host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("host=one,two&port=3", [("one", 3), ("two", 3)]),
        ("host=[::1]:1&host=two", [("::1", 1), ("two", None)]),
        ("host=::1,two&port=1,2", None),
    ],
)
@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb+asyncmy"])
def test_the_hosts_of_a_url(scheme: str, rest: str, expected: list[tuple[str, int | None]] | None) -> None:
    dialect = of_scheme(scheme)
    url = make_url(f"{scheme}://u@/d?{rest}")
    if expected is None:  # an address with colons needs brackets
        with pytest.raises(ValueError, match="host 1 of the URL"):
            dialect.split_hosts(url)
        return
    _, hosts = dialect.split_hosts(url)
    assert hosts is not None
    assert hosts.places == [(host, port or dialect.default_port) for host, port in expected]
    assert create_engine(url).url.query["host"] == ",".join(host for host, _ in expected)
