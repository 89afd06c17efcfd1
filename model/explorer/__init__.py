"""Exhaustive search over the machines: every reachable state, properties, shortest paths to violations."""

from model.explorer.election import check_election
from model.explorer.search import Result

__all__ = ["Result", "check_election"]
