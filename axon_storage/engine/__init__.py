"""Engines, transactions, retries, timeouts and group commit."""
