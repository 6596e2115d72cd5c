"""Engines, transactions, retries, time-outs and group commit: how SQL is sent."""
