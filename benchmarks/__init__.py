"""Benchmarks: each is one command and writes docs/results/<name>.json and .md."""
