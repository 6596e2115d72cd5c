"""Benchmarks: speeds relative to the raw driver on the same workload, measured interleaved in one run."""
