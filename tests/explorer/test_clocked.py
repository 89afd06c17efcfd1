"""Search in time: registrar nodes, SIP clients and detection, on a coarse clock."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from model import bounds, registrar
from model.explorer import detection
from model.explorer.client_world import ClientWorld, check_client
from model.explorer.client_world import Setting as ClientSetting
from model.explorer.clocked import PASS, Choices, Move, decide, explore
from model.explorer.detection import spans
from model.explorer.paths import Path, Step
from model.explorer.registrar_world import RegistrarWorld, check_registrar
from model.explorer.registrar_world import Setting as RegistrarSetting
from model.scenario import load

MS = 1_000


def texts(path: Path) -> list[str]:
    return [f"{step.actor}: {step.text}" for step in path.steps]


# The search itself


class Toy:
    """States are numbers, moves are given: (from, to, time)."""

    name, actors = "toy", ("it",)

    def __init__(self, *moves: tuple[int, int, int]) -> None:
        self._moves = moves

    def first(self) -> list[int]:
        return [0]

    def moves(self, state: int) -> Iterator[tuple[Move, int]]:
        for source, target, length in self._moves:
            if source == state:
                yield Move("go", 0, length, 1), target

    def step(self, before: int, move: Move, after: int) -> Step:
        return Step("it", move.kind, f"{before} to {after}")


def decided(*moves: tuple[int, int, int], by_chance: bool = False):
    graph = explore(Toy(*moves))
    good = graph.mask(lambda state: state == 9)
    return decide(graph, "toy", "it ends", "nobody", good, ~good, by_chance)


def test_a_cycle_in_time_is_a_counterexample_and_shown_as_a_loop() -> None:
    found = decided((0, 1, 1), (1, 2, 5), (2, 1, 0), (2, 9, 1))
    assert not found.holds
    assert (texts(found.path), found.path.loop) == (["it: 0 to 1", "it: 1 to 2", "it: 2 to 1"], 1)


def test_a_cycle_that_takes_no_time_is_nobodys() -> None:
    found = decided((0, 1, 1), (1, 2, 0), (2, 1, 0), (2, 9, 1_000), (0, 9, 1))
    assert found.holds
    assert found.condition.startswith("within 1.001 s")


def test_a_cycle_that_a_draw_leaves_is_left_with_probability_one() -> None:
    found = decided((0, 0, 1), (0, 9, 1), by_chance=True)
    assert (found.holds, found.condition) == (True, "with probability one, but without a bound")


@pytest.mark.parametrize("by_chance", [False, True])
@pytest.mark.parametrize("moves", [((0, 1, 1), (0, 9, 1)), ((0, 1, 1), (0, 9, 1), (1, 2, 0), (2, 1, 0))])
def test_an_end_without_the_good_state_is_a_counterexample(moves: tuple, by_chance: bool) -> None:
    found = decided(*moves, by_chance=by_chance)
    assert (found.holds, texts(found.path)) == (False, ["it: 0 to 1"])


def test_a_search_with_a_limit_says_that_it_is_not_finished() -> None:
    graph = explore(Toy(*((each, each + 1, 1) for each in range(9))), max_states=4)
    assert (graph.finished, graph.expanded, len(graph.states)) == (False, 4, 5)


def test_every_combination_of_draws_is_tried_once() -> None:
    choices, seen = Choices(lambda limit: range(limit)), []
    for _ in choices.every():
        first = choices.below(None, 3)
        seen.append((first, choices.below(None, 2) if first else None))
    assert seen == [(0, None), (1, 0), (1, 1), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    "world",
    [
        RegistrarWorld(RegistrarSetting("flexisip-2.6", traffic_ms=1_000, grain_ms=1_000)),
        ClientWorld(ClientSetting("ideal", "tcp")),
    ],
    ids=["registrar", "client"],
)
def test_what_a_state_leaves_out_never_changes_or_does_not_matter(world) -> None:  # fmt: skip
    unread = {"stream.count", "lost_us", "registered_us"}
    before = world.part.left_out()
    explore(world, 3_000)
    after = world.part.left_out()
    changed = {path.rpartition("].")[2] for path in before if before[path] != after[path]}
    assert {path for path in changed if not path.startswith("answer_taken")} <= unread


def test_older_ages_than_the_limit_make_no_difference() -> None:
    """The machine itself, at an age just above the largest limit and at one far above, decides the same."""
    setting = RegistrarSetting("guide")
    world = RegistrarWorld(setting)
    limit_us = setting.repl_timeout_ms * MS + setting.heard_ms * MS + 1_000_000
    node, message = registrar.REGISTRAR.new(), registrar_message(setting)
    registrar.take_knobs(node, world.knobs)
    node.current, node.lost_primary = 1, 1
    for age_us in (limit_us, limit_us + 500_000, 10**9):
        node.lost_us = 10**10 - age_us
        assert registrar._shows_primary(node, 10**10, message)


def registrar_message(setting: RegistrarSetting):
    from model.effects import MESSAGE, REPLICA

    message = MESSAGE.new()
    message.role, message.primary, message.link_up = REPLICA, 1, 1
    message.heard_s = (setting.repl_timeout_ms + setting.heard_ms) // 1_000
    return message


# Registrar nodes


@pytest.mark.parametrize(
    ("policy", "case", "condition"),
    [
        ("guide", "idle", "within 2 s"),
        ("guide", "restarted", "within 2 s"),
        ("flexisip-2.0", "asked", "within 2 s"),
        ("flexisip-2.4", "idle", "within 2 s"),
    ],
)
def test_a_node_always_ends_up_on_the_primary(policy, case, condition) -> None:
    found = check_registrar(policy, case)
    assert (found.holds, found.condition, found.finished) == (True, condition, True)


def test_a_node_of_the_guide_whose_primary_named_no_replica_does_not_find_the_next_primary() -> None:
    found = check_registrar("guide", "away", faults=2)
    assert not found.holds
    steps = texts(found.path)
    assert any("primary, replicas: none" in step for step in steps)
    assert any("is promoted" in step for step in steps)
    assert 0 < found.path.loop < len(steps)
    assert not any("server 2" in step for step in steps[found.path.loop :])


@pytest.mark.parametrize("policy", ["flexisip-2.0", "flexisip-2.3"])
def test_a_node_of_old_flexisip_may_sleep_until_a_client_asks(policy) -> None:
    found = check_registrar(policy, "idle")
    assert not found.holds
    loop = found.path.steps[found.path.loop :]
    assert {step.kind for step in loop} <= {PASS, "timer"}


def test_a_node_that_never_believes_a_replica_is_found_out() -> None:
    """A mutant of the machine: it stays on its replica for ever."""
    world = RegistrarWorld(RegistrarSetting("guide", faults=1))
    begins = list(world.first())
    world.first = lambda: begins
    world.machine._shows_primary = lambda node, now_us, message: False
    graph = explore(world)
    calm = graph.mask(lambda state: state[1] == 1)
    assert not decide(graph, "mutant", "", "", graph.mask(world.is_good), calm, by_chance=False).holds


# SIP clients


@pytest.mark.parametrize(
    ("class_name", "transport", "manner", "condition"),
    [
        ("ideal", "udp", "is silent", "within 148 s and 3 tries"),
        ("ideal", "tcp", "answers 503", "within 84 s and 3 tries"),
        ("linphone-5.1", "udp", "refuses", "within 120 s and 3 tries"),
        ("baresip", "tcp", "is silent", "within 124 s and 3 tries"),
        ("pjsua", "udp", "is silent", "with probability one, but without a bound"),
        ("twinkle", "udp", "refuses", "within 55 s and 2 tries"),
    ],
)
def test_a_client_finds_the_node_that_accepts(class_name, transport, manner, condition) -> None:
    found = check_client(class_name, transport, manner)
    assert (found.holds, found.condition, found.finished) == (True, condition, True)


@pytest.mark.parametrize(
    ("class_name", "manner"),
    [("ideal", "answers 500"), ("linphone-5.1", "answers 500"), ("baresip", "answers 500"), ("twinkle", "is silent")],
)
def test_a_client_that_stays_or_gives_up_is_found(class_name, manner) -> None:
    """RFC 3263 section 4.3 asks for another node after a 503 and after silence; a bare 500 is none of these."""
    found = check_client(class_name, "udp", manner)
    assert not found.holds
    gave_up = any("gave up" in text for step in found.path.steps for _, text in step.notes)
    assert found.path.loop >= 0 or gave_up


# Detection


def scenario(down_after_ms: int, way_us: int):
    base = load("scenarios/host_loss/primary_host_vanishes.toml")
    return base.model_copy(
        update={
            "sentinel": base.sentinel.model_copy(update={"down_after_ms": down_after_ms, "flush_us": 0}),
            "network": base.network.model_copy(update={"delay_us": way_us}),
        }
    )


@pytest.mark.parametrize("way_us", [1, 400])
@pytest.mark.parametrize(("fault", "kind"), [("host", "host"), ("redis", "host-killed")])
def test_the_closed_forms_hold_all_that_one_sentinel_can_do_and_are_tight(fault, kind, way_us) -> None:
    graph, found = spans(detection.Setting(fault, down_after_ms=200, ways_us=(way_us,)))
    low_ms, high_ms = found["sdown_first"]
    allowed = bounds.milestones(scenario(200, way_us), kind)["sdown_first"]
    assert graph.finished
    assert allowed.low_ms <= low_ms <= allowed.low_ms + 1 + 2 * way_us / MS
    assert allowed.high_ms - 10 <= high_ms <= allowed.high_ms


def test_the_closed_forms_hold_all_that_two_sentinels_can_do() -> None:
    setting = detection.Setting(sentinels=2, down_after_ms=100, grain_us=20_240, rates=(0, 9))
    graph, found = spans(setting)
    assert graph.finished
    allowed = bounds.milestones(scenario(100, 1), "host")
    for name, (low_ms, high_ms) in found.items():
        assert allowed[name].low_ms - 0.01 <= low_ms < high_ms <= allowed[name].high_ms + 0.01, name


def test_resets_that_come_apart_may_be_noticed_before_the_delay_is_over() -> None:
    """A tick between the two resets reopens one connection; then the clock is that of the last answer."""
    setting = detection.Setting("redis", down_after_ms=100, ways_us=(0, 20_000), rates=(0, 9))
    _, found = spans(setting)
    assert found["sdown_first"][0] == pytest.approx(52.2)


def test_steps_follow_each_other() -> None:
    """What a path tells is a way of the graph."""
    world = ClientWorld(ClientSetting("twinkle", "udp"))
    graph = explore(world)
    way = graph.way_to(len(graph.states) - 1)
    edges = set(zip(graph.source, graph.target, strict=True))
    assert all(each in edges for each in pairwise(way))
