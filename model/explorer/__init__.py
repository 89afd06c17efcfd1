"""Exhaustive search over the machines: every reachable state, properties, shortest paths to where they show.

Two ways. By choice instead of by time, many machines at once: `parts` (what a model is), `tables`, `expansion` and
`exploration` (the search), `liveness`, `walk`, with the models `election` and `failover`. In time, on a coarse clock,
one machine in an environment: `clocked`, with `registrar_world`, `client_world` and `detection`. Both give `paths`.
"""

from model.explorer.election import Election, check_election
from model.explorer.exploration import Result, Search, explore
from model.explorer.failover import Failover

__all__ = ["Election", "Failover", "Result", "Search", "check_election", "explore"]
