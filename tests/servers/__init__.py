"""Throwaway database servers for the tests: private, on loopback, in temporary directories."""

from tests.servers.pool import GIVEN, NEEDED, NOT_EXERCISED, ORACLES, Servers, UnavailableError

__all__ = ["GIVEN", "NEEDED", "NOT_EXERCISED", "ORACLES", "Servers", "UnavailableError"]
