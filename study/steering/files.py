"""Writes the file of a steered scenario: where it comes from and how often it goes that way, then the scenario."""

from __future__ import annotations

import textwrap
from typing import Any

from model.scenario import Scenario
from study.folders import to_toml
from study.steering.cases import Case

WIDTH = 116
"""Of comments and texts."""


def text_of(case: Case, scenario: Scenario, found: dict[str, Any], seed: int) -> str:
    """The file's text.

    Parameters
    ----------
    case : Case
    scenario : Scenario
        With the delays that were found.
    found : dict
        Share of simulated runs that show the pattern.
    seed : int
        Of these runs.
    """
    told = scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
    rest = {key: value for key, value in told.items() if key not in ("schema", "name", "question", "expects", "claim")}
    head = [f"schema = {scenario.schema_}", f'name = "{case.name}"', f'question = "{case.question}"',
            f'expects = """\n{textwrap.fill(case.expects, WIDTH)}\n"""']  # fmt: skip
    claims = [dict(zip(("quantity", "statistic", "low", "high"), claim, strict=True)) for claim in case.claims]
    return "\n".join([*_comment(case, found, seed), *head]) + "\n" + to_toml({**rest, "claim": claims})


def _comment(case: Case, found: dict[str, Any], seed: int) -> list[str]:
    """The path, step by step, and the claim."""
    assert case.path
    paragraphs = [
        f"{case.path.verdict.capitalize()} of '{case.path.sentence}'; {case.path.model}. Steered (docs/steering.md).",
        *(f"{number:2}. {step.text}" for number, step in enumerate(case.path.steps, start=1)),
        f"Seen when: {case.pattern}.",
        f"Simulated: {found['k']} of {found['n']} runs (seed {seed}) show that, "
        f"{found['low']:.3f} to {found['high']:.3f} (Wilson, 95 %).",
    ]
    return [f"# {line}" for each in paragraphs for line in textwrap.wrap(each, WIDTH, subsequent_indent="    ")]
