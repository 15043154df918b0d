"""Benchmarks: the fast engine against what a user would otherwise write, on the work of the book's 480 runs."""
