"""Exhaustive search over the machines: every reachable state, properties, shortest paths to violations."""

from model.explorer.election import Result, check_election

__all__ = ["Result", "check_election"]
