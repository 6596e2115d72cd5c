"""Benchmarks: every figure a ratio to the raw driver doing the same work, interleaved within one run."""
