"""The election, searched by three tools that share no code: our own search, Spin, and TLC.

Ours steps the machine `model.sentinel`; Spin and TLC search models that were written by hand from sentinel.c
(`model/explorer/promela/election.pml`, `model/explorer/tla/SentinelElection.tla`), with the same abstraction. Where the
abstraction is the same, so are numbers of states and of steps, to the unit; and shortest paths are as long.

    python -m study.crosscheck --sentinels 3 --quorum 2 --epochs 1 [--stalls] [--json]

A tool that is missing is skipped, with what is missing. Exit codes: 0; 1 when two tools disagree; 2; 3 when no other
tool is there. See docs/crosscheck.md.
"""
