"""The TLS parameters of URLs, on servers with a certificate from a CA of the test, and on servers without TLS."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import trustme
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from axon_storage import SqlRepository, StorageConnectionError, create_engine
from axon_storage.engine.executor import Executor
from axon_storage.sql.unit_of_work import UnitOfWork
from tests.accounts import without_password
from tests.faults.private import server, with_hosts
from tests.servers.process import account, own

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("tls")]  # one worker has the servers

DRIVERS = ["postgresql", "mariadb", "mariadb+asyncmy", "mysql", "mysql+asyncmy"]
CERTIFIED = {
    "postgresql": "ssl = on\nssl_cert_file = '{0}/cert.pem'\nssl_key_file = '{0}/key.pem'\n",
    "mariadb": "ssl-cert = {0}/cert.pem\nssl-key = {0}/key.pem\n",
    "mysql": "ssl-cert = {0}/cert.pem\nssl-key = {0}/key.pem\n",
}
PLAIN = {"mysql": "tls-version =\n"}  # MySQL makes a certificate for itself if it has none
CIPHER = {"postgresql": "SELECT 'cipher', coalesce(cipher, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"}
MYSQL_CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"

Url = Callable[[str, str, str], str]


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """A directory with two CAs, and a certificate of the first one for the name localhost."""
    directory = Path(tempfile.mkdtemp(prefix="axon-tls-"))
    directory.chmod(0o711)  # the server may run under another account
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(directory / "ca.pem")
    trustme.CA().cert_pem.write_to_path(directory / "other.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    (directory / "key.pem").chmod(0o600)
    own(directory / "key.pem", account("postgres"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def url(certificates: Path) -> Iterator[Url]:
    """A function that returns a server's URL, for a driver, a host name (or ``plain``: no TLS) and URL parameters."""
    with ExitStack() as stack:

        @cache
        def started(kind: str, certified: bool) -> str:
            settings = CERTIFIED[kind].format(certificates) if certified else PLAIN.get(kind, "")
            return stack.enter_context(server(kind, settings))[1]

        def of(driver: str, host: str, query: str) -> str:
            place = make_url(started(driver.partition("+")[0], host != "plain"))
            place = place.set(drivername=driver, host="localhost" if host == "plain" else host)
            return f"{place.render_as_string(hide_password=False)}?{query.format(certificates)}"

        yield of


GREETING = b"\x0a8.0.0\0" + bytes(4) + b"12345678\0" + b"\x00\xf7" + b"\x2d\x02\0" + b"\xff\xdf\x15" + bytes(10)
"""The greeting of a MySQL server, without the bit that says it has TLS."""


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("scheme", ["mysql", "mysql+asyncmy"])
async def test_a_server_that_denies_tls_gets_no_credentials(scheme: str, mode: str) -> None:
    received = bytearray()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet = GREETING + b"123456789012\0mysql_clear_password\0"
        writer.write(len(packet).to_bytes(3, "little") + b"\0" + packet)
        received.extend(await reader.read(10_000))
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StorageConnectionError):
            await _cipher(f"{scheme}://telltale:secret@127.0.0.1:{port}/axon?sslmode={mode}")
    assert b"telltale" not in received
    assert b"secret" not in received


async def _cipher(url: str) -> str:
    """Connect, and return the cipher of the connection, or an empty string."""
    engine = create_engine(url)

    def ask(connection: Connection) -> str:
        rows = connection.execute(text(CIPHER.get(make_url(url).drivername, MYSQL_CIPHER)))
        return str(rows.one()[1])

    try:
        return await Executor(engine).run("probe", UnitOfWork(ask, writes=False))
    finally:
        await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("host", "query"),
    [
        ("localhost", "sslmode=verify-full&sslrootcert={}/ca.pem"),
        ("localhost", "ssl_mode=VERIFY_IDENTITY&ssl_ca={}/ca.pem"),
        ("localhost", "ssl_ca={}/ca.pem"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={}/ca.pem"),
        ("127.0.0.1", "sslmode=require&sslrootcert={}/ca.pem"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "ssl_mode=PREFERRED"),
    ],
)
async def test_a_connection_is_encrypted_if_the_server_meets_the_url(
    url: Url, driver: str, host: str, query: str
) -> None:
    assert await _cipher(url(driver, host, query))


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("host", "query"), [("127.0.0.1", "sslmode=disable"), ("plain", "sslmode=prefer"), ("plain", "")]
)
async def test_a_connection_is_plain_unless_the_url_requires_tls(url: Url, driver: str, host: str, query: str) -> None:
    assert not await _cipher(url(driver, host, query))


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("host", "query"),
    [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={}/ca.pem"),
        ("127.0.0.1", "ssl_ca={}/ca.pem"),
        ("localhost", "sslmode=verify-full&sslrootcert={}/other.pem"),
        ("localhost", "sslmode=verify-ca&sslrootcert={}/other.pem"),
        ("localhost", "sslmode=require&sslrootcert={}/other.pem"),
        ("localhost", "sslmode=verify-full"),
        ("plain", "sslmode=require"),
        ("plain", "sslmode=verify-full&sslrootcert={}/ca.pem"),
    ],
    ids=["another name", "another name, by default", "another CA", "another CA, name not checked",
         "another CA, required", "no CA of the system's", "no TLS", "no TLS, verified"],
)  # fmt: skip
async def test_a_connection_that_does_not_meet_the_url_is_refused(url: Url, driver: str, host: str, query: str) -> None:
    place = url(driver, host, query)
    with pytest.raises(StorageConnectionError) as refused:
        await _cipher(place)
    assert "the TLS that the URL asks for is not available: " in str(refused.value)
    assert not refused.value.transient
    assert str(make_url(place).password) not in str(refused.value)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_certificate_that_is_not_trusted_is_refused_at_the_first_of_several_hosts(
    url: Url, driver: str
) -> None:
    place = url(driver, "localhost", "sslmode=verify-full&sslrootcert={}/other.pem")
    with pytest.raises(StorageConnectionError) as refused:
        await _cipher(with_hosts(place, None, "127.0.0.1:1"))
    assert not refused.value.transient
    assert "the TLS that the URL asks for is not available: " in str(refused.value)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("query", ["sslmode=require", "sslmode=prefer"])
async def test_a_function_for_the_password_is_used_with_tls(url: Url, driver: str, query: str) -> None:
    place = make_url(url(driver, "127.0.0.1", query))
    engine = create_engine(without_password(place), password=lambda: str(place.password))
    async with SqlRepository(engine) as storage:
        assert "no_schema" in {reason.name for reason in (await storage.health()).reasons}
