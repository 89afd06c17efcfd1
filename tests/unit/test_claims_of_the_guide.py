"""Claims of docs/claims.md are told in full; stored counterexamples are paths of the model."""

from __future__ import annotations

import json
import re
from pathlib import Path as File

import pytest

from model.explorer.parts import Model
from model.explorer.paths import Path
from model.explorer.walk import shows, successors
from study import paths
from study.report import proofs, searches

ROOT = File(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs/claims.md").read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
CELLS = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in ROWS]
CASES = {case.name: case for case in (*searches.SEARCHES, searches.LARGE)}


def test_claims_are_numbered_and_each_has_a_verdict_and_what_shows_it():
    assert [int(cells[0]) for cells in CELLS] == list(range(1, len(CELLS) + 1))
    for cells in CELLS:
        assert len(cells) == 5, cells[0]
        assert re.match(r"\*\*(true|false|true when|good value)\*\*|not decided", cells[2]), cells[0]
        assert cells[3] == "not decided" or re.match(r"`(hastudy|python -m study\.)", cells[3]), cells[0]


@pytest.mark.parametrize(("name", "search", "key"), proofs.SHOWN, ids=lambda each: each)
def test_a_stored_path_is_one_of_the_model_and_shows_the_property(name, search, key):
    path = searches.path_of(json.loads((ROOT / f"reports/proofs/paths/{name}.json").read_text(encoding="utf-8")))
    model = CASES[search].model()
    ends = walked(model, path)
    assert ends, f"{name}: the model does not go this way any more: python -m study.report proofs"
    wanted = next(each for each in model.properties if each.key == key)
    is_seen = any(shows(model, state, wanted.patterns) for state in ends)
    assert is_seen == (wanted.kind != "eventually")
    assert (ROOT / f"reports/proofs/paths/{name}.txt").read_text(encoding="utf-8") == paths.text(path)


def walked(model: Model, path: Path) -> set:
    """The states in which a path can end: words do not always tell one step from another."""
    assert path.actors == model.actors
    states = {model.first}
    for step in path.steps:
        states = {
            after
            for state in states
            for part, move, _, after in successors(model, state)
            if (model.actors[part], move.kind, model.say(part, state[part], move)) == (step.actor, step.kind, step.text)
            and all(note in notes(model, state, after) for note in step.notes)
        }
    return states


def notes(model, before, after):
    return [(model.actors[part], model.note(part, old, new))
            for part, (old, new) in enumerate(zip(before, after, strict=True))]  # fmt: skip


def test_a_path_with_a_step_too_few_is_none_of_the_model():
    path = searches.path_of(json.loads((ROOT / "reports/proofs/paths/lost_host.json").read_text(encoding="utf-8")))
    cut = Path(path.model, path.sentence, path.verdict, path.actors, (path.steps[-1],))
    assert not walked(CASES["for good: host"].model(), cut)


def test_kept_searches_are_those_that_are_made():
    found = proofs.read_searches(ROOT / "reports/proofs/kept/searches.json")
    for name, case in CASES.items():
        assert found[name].title == case.model().title


@pytest.mark.parametrize("name", ["for good: host", "for good: two hosts", "quorum 3: host, for good"])
def test_a_small_search_finds_again_what_is_kept(name):
    kept = proofs.read_searches(ROOT / "reports/proofs/kept/searches.json")[name]
    found = searches.look(CASES[name])
    assert (found.states, found.transitions, found.verdicts) == (kept.states, kept.transitions, kept.verdicts)


def test_a_server_on_a_lost_host_takes_no_writes():
    """Otherwise a lost primary and its successor would be two that do."""
    found = {each["key"]: each["verdict"] for each in searches.look(CASES["for good: host"]).verdicts}
    assert (found["two-writable"], found["accepts-writes"]) == ("never seen", "holds")
