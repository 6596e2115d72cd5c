"""Throwaway database servers for the tests: private, on loopback, in temporary directories."""

from tests.servers.pool import NOT_EXERCISED, ORACLES, SERVED, Servers, UnavailableError

__all__ = ["NOT_EXERCISED", "ORACLES", "SERVED", "Servers", "UnavailableError"]
