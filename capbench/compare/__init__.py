"""Comparison of runs: claim by claim and verdict by verdict, a gate for regressions, kept baselines, a table of methods."""
