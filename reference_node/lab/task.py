"""What a worker is asked to do: one line of JSON from the parent of a run to its worker."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from model.scenario import Scenario
from reference_node.lab.servers import Server


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked to do.

    Attributes
    ----------
    scenario : dict
        `Scenario.canonical`.
    run, seed : int
    server : dict
        Fields of a `Server`.
    isolation : str
        ``namespaces`` or ``loopback``; resolved by the parent.
    keep_logs : str or None
        Folder for a copy of the run's files.
    """

    scenario: dict
    run: int
    seed: int
    server: dict
    isolation: str
    keep_logs: str | None

    @classmethod
    def make(
        cls, scenario: Scenario, run: int, seed: int, server: Server, isolation: str, keep_logs: Path | None
    ) -> Task:
        """The task in plain values."""
        plain = {**asdict(server), "path": str(server.path)}
        return cls(scenario.canonical(), run, seed, plain, isolation, str(keep_logs) if keep_logs else None)

    def parts(self) -> tuple[Scenario, Server]:
        """The scenario and the server, made again."""
        scenario = Scenario.model_validate_json(json.dumps(self.scenario))
        return scenario, Server(**{**self.server, "path": Path(self.server["path"])})

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"
