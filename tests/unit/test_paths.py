"""Paths as text, space-time diagram, Mermaid and ShiViz: from hand-made paths with real content."""

from __future__ import annotations

import json
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from model.explorer.paths import Exchange, Path, Step
from study.paths import FORMS, mermaid, shiviz, space_time, text, write
from study.paths.shiviz import PARSER
from study.paths.svg import width_of, wrapped

SVG = "{http://www.w3.org/2000/svg}"


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"sentinel {number}" for number in range(1, count + 1))


def _start(me: int, epoch: int) -> Step:
    name = f"sentinel {me}"
    note = f"starts an attempt in epoch {epoch}, votes for {name} in epoch {epoch}"
    return Step(name, "act", f"{name} acts", notes=((name, note),))


def _elected(me: int, epoch: int) -> Step:
    name = f"sentinel {me}"
    return Step(name, "act", f"{name} acts", notes=((name, f"elected for epoch {epoch}"),))


def _ask(me: int, to: int, epoch: int) -> Step:
    name, peer = f"sentinel {me}", f"sentinel {to}"
    asked = Exchange(name, peer, f"your vote in epoch {epoch}?")
    return Step(name, "ask", f"{name} asks {peer} for its vote in epoch {epoch}", (asked,),
                ((peer, f"is in epoch {epoch}, votes for {name} in epoch {epoch}"),))  # fmt: skip


def _learn(me: int, of: int, epoch: int) -> Step:
    name, peer = f"sentinel {me}", f"sentinel {of}"
    told = Exchange(peer, name, f"my vote in epoch {epoch}: {name}")
    return Step(peer, "vote", f"{name} learns of the vote of {peer} in epoch {epoch}", (told,))


def _hear(me: int, of: int, epoch: int) -> Step:
    name, peer = f"sentinel {me}", f"sentinel {of}"
    told = Exchange(peer, name, f"epoch {epoch}")
    return Step(peer, "hello", f"{name} hears of epoch {epoch} from {peer}", (told,), ((name, f"is in epoch {epoch}"),))


THREE = Path(
    "election of 3 sentinels, quorum 2, up to 2 epochs, all may be late",
    "an epoch has at most one leader", "counterexample", _names(3),
    (_start(1, 1), _start(2, 1), _ask(1, 3, 1), Step("sentinel 3", "wait", "sentinel 3 waits"), _start(3, 2),
     _learn(1, 3, 1), _hear(2, 3, 2), _elected(1, 1), _ask(2, 1, 2), _learn(2, 1, 2), _elected(2, 1)),
)  # fmt: skip
FIVE = Path(
    "election of 5 sentinels, quorum 3, up to 2 epochs",
    "an epoch has at most one leader", "counterexample", _names(5),
    (_start(1, 1), _start(2, 1), _ask(1, 3, 1), _ask(1, 4, 1), _learn(1, 3, 1), _learn(1, 4, 1), _elected(1, 1),
     _hear(5, 1, 1), _start(5, 2), _hear(2, 5, 2), _ask(2, 3, 2), _ask(2, 4, 2), _learn(2, 3, 2), _learn(2, 4, 2),
     _elected(2, 1)),
)  # fmt: skip
FOREVER = Path(
    "2 servers, 1 registrar; up to 2 faults", "a confirmed registration is found; by every node # <soon>",
    "counterexample", ("server 1", "server 2", "registrar 1"),
    (
        Step("registrar 1", "register", "registrar 1 stores a binding",
             (Exchange("registrar 1", "server 1", "SET sip:alice; expires 60"),
              Exchange("server 1", "registrar 1", "+OK")),
             (("server 1", "holds the binding"),)),
        Step("server 1", "crash", "server 1 is killed", notes=(("server 1", "down"),)),
        Step("server 1", "restart", "server 1 is started again, empty"),
        Step("registrar 1", "lookup", "registrar 1 looks up alice",
             (Exchange("registrar 1", "server 2", "GET sip:alice"), Exchange("server 2", "registrar 1", "(nil)"))),
        Step("registrar 1", "wait", "registrar 1 waits",
             notes=(("registrar 1", "answers 404"), ("server 2", "has nothing"))),
    ),
    loop=3,
)  # fmt: skip
WITNESS = Path("election of 2 sentinels", "a leader is elected", "witness", _names(2), (_start(1, 1), _elected(1, 1)))
AT_ONCE = Path("election of 2 sentinels", "nobody leads", "witness", _names(2), ())
PATHS = {"three": THREE, "five": FIVE, "forever": FOREVER, "witness": WITNESS, "at-once": AT_ONCE}
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def test_text_tells_every_step_in_order_with_what_is_said_and_true_then() -> None:
    lines = text(THREE).splitlines()
    assert lines[:2] == ["counterexample: an epoch has at most one leader", THREE.model]
    assert [line.strip() for line in lines if re.match(r" +\d+  ", line)] == [
        f"{number}  {step.text}" for number, step in enumerate(THREE.steps, start=1)
    ]
    at = lines.index("   3  sentinel 1 asks sentinel 3 for its vote in epoch 1")
    assert lines[at + 1 : at + 3] == [
        "        sentinel 1 -> sentinel 3: your vote in epoch 1?",
        "        * sentinel 3: is in epoch 1, votes for sentinel 1 in epoch 1",
    ]
    assert lines[-1] == "after step 11: does not hold: an epoch has at most one leader"


def test_text_marks_the_loop_and_what_comes_from_outside() -> None:
    lines = text(FOREVER).splitlines()
    assert lines.index("+- from here on, round and round") + 1 == lines.index("| 4  registrar 1 looks up alice")
    assert "+- back to step 4, for ever" in lines
    assert "  2  server 1 is killed (from outside)" in lines
    assert [line for line in lines if line.startswith("| ") and "waits" in line]


@each_path
def test_text_fits_a_terminal(path: Path) -> None:
    assert max(map(len, text(path).splitlines()[3:-1]), default=0) <= 100


# --- ShiViz: read back as ShiViz reads it ---


def _events(path: Path) -> list[tuple[int, str, str, dict[str, int]]]:
    parser, delimiter, log = shiviz(path).split("\n", 2)
    assert (parser, delimiter) == (PARSER, "")
    found = re.finditer(parser.replace("(?<", "(?P<"), log)
    return [(int(each["step"]), each["event"], each["host"], json.loads(each["clock"])) for each in found]


@pytest.mark.parametrize("path", [THREE, FIVE, FOREVER], ids=["three", "five", "forever"])
def test_every_line_of_a_shiviz_log_is_read_and_each_hosts_clock_counts_its_events(path: Path) -> None:
    events = _events(path)
    assert 2 * len(events) == len(shiviz(path).splitlines()) - 2
    seen: dict[str, int] = {}
    for _, event, host, clock in events:
        seen[host] = seen.get(host, 0) + 1
        assert clock[host] == seen[host], event
        assert all(clock[other] <= seen.get(other, 0) for other in clock), event
    assert {step for step, *_ in events} == set(range(1, len(path.steps) + 1))


@pytest.mark.parametrize("path", [THREE, FIVE, FOREVER], ids=["three", "five", "forever"])
def test_clocks_order_exactly_what_messages_and_hosts_order(path: Path) -> None:
    """Reference: reachability over "same host, later" and "sent, then arrived", found without clocks."""
    events = _events(path)
    before: list[set[int]] = []
    last: dict[str, int] = {}
    for number, (_, event, host, _) in enumerate(events):
        causes = {last[host]} if host in last else set()
        if re.match(r"(?:\(.*?\) )?from \w+ \d: ", event):
            causes.add(number - 1)
        before.append(causes.union(*(before[cause] for cause in causes)))
        last[host] = number
    for one, two in combinations(range(len(events)), 2):
        early, late = events[one][3], events[two][3]
        is_before = all(late.get(host, 0) >= ticks for host, ticks in early.items())
        assert is_before == (one in before[two]), (events[one], events[two])


def test_each_message_is_a_sending_and_an_arrival() -> None:
    events = [event for _, event, _, _ in _events(FOREVER)]
    for exchange in (exchange for step in FOREVER.steps for exchange in step.exchanges):
        assert any(event.split(" | ")[0].endswith(f"to {exchange.to}: {exchange.label}") for event in events)
        assert any(f"from {exchange.source}: {exchange.label}" in event for event in events)


# --- Mermaid ---

_STATEMENT = re.compile(
    r"participant a\d+ as [^;]+|(?:loop|rect) [^;]+|end|acc(?:Title|Descr): .+"
    r"|Note (?:right of|over) a\d+(?:,a\d+)?: .+|a\d+->>a\d+: .+"
)


@each_path
def test_mermaid_is_made_of_its_grammars_statements_and_blocks_are_closed(path: Path) -> None:
    """The grammar's statements that are used; whole files were also read by Mermaid itself when this was written."""
    first, *lines = mermaid(path).splitlines()
    assert first == "sequenceDiagram"
    depth = 0
    for line in map(str.strip, lines):
        assert _STATEMENT.fullmatch(line), line
        assert not re.search(r";(?<!#\d\d;)(?<!#\d\d\d;)(?<!#lt;)(?<!#gt;)", line), line
        depth += line.startswith(("loop ", "rect ")) - (line == "end")
        assert depth >= 0
    assert depth == 0
    arrows = [line for line in lines if "->>" in line]
    assert len(arrows) == sum(len(step.exchanges) for step in path.steps)


# --- SVG ---


@each_path
def test_a_diagram_is_xml_with_title_description_and_both_colour_schemes(path: Path) -> None:
    root = ElementTree.fromstring(space_time(path))
    assert root.find(f"{SVG}title").text == path.sentence
    assert all(step.text in root.find(f"{SVG}desc").text for step in path.steps)
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text
    assert "http" not in space_time(path).replace(SVG[1:-1], "")


def _boxes_of_words(path: Path) -> list[tuple[float, float, float, float, str]]:
    """Left, top, right, bottom of every line of text, in the widest font."""
    boxes = []
    for each in ElementTree.fromstring(space_time(path)).iter(f"{SVG}text"):
        size, x, y = (float(each.get(name)) for name in ("font-size", "x", "y"))
        width = width_of(each.text, size, "bold" in each.get("class"))
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[each.get("text-anchor")]
        boxes.append((left, y - 0.75 * size, left + width, y + 0.2 * size, each.text))
    return boxes


def _crowd() -> Path:
    """Nine actors, 25 steps, labels and notes too long for a lane."""
    names = _names(9)
    long = "is-a-very-long-label-of-one-word for somebody who is far away or very near"
    steps = tuple(
        Step(names[n % 9], "ask", f"{names[n % 9]} asks",
             (Exchange(names[n % 9], names[(n * 4 + 1) % 9], long),
              Exchange(names[(n * 4 + 1) % 9], names[n % 9], long)),
             ((names[n % 9], long), (names[(n + 1) % 9], long), (names[n % 9], "again")))
        for n in range(25) if n % 9 != (n * 4 + 1) % 9
    )  # fmt: skip
    return Path("crowd", "nothing overlaps", "witness", names, steps)


@pytest.mark.parametrize("path", [*PATHS.values(), _crowd()], ids=[*PATHS, "crowd"])
def test_no_words_meet_and_none_leave_the_paper(path: Path) -> None:
    boxes = _boxes_of_words(path)
    _, _, width, height = map(float, ElementTree.fromstring(space_time(path)).get("viewBox").split())
    for left, top, right, bottom, words in boxes:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height, words
    for one, two in combinations(boxes, 2):
        apart = one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
        assert apart, (one[4], two[4])


def test_the_line_of_a_killed_actor_is_dashed_until_it_is_started_again() -> None:
    drawn = ElementTree.fromstring(space_time(FOREVER))
    dashed = [each for each in drawn.iter(f"{SVG}polyline") if each.get("stroke-dasharray")]
    assert len(dashed) == 1
    (x, top), (to_x, bottom) = (map(float, point.split(",")) for point in dashed[0].get("points").split())
    assert x == to_x
    where = {words: (box_top, box_bottom) for _, box_top, _, box_bottom, words in _boxes_of_words(FOREVER)}
    assert top < where["down"][0] < bottom < where["answers 404"][0]


OUTSIDE = Path(
    "failover of 2 hosts, up to 2 faults", "somebody takes writes", "counterexample",
    ("sentinel 1", "sentinel 2", "server 1", "server 2", "network"),
    (
        Step("network", "kill-host", "host 1 is lost"),
        Step("network", "freeze", "server 2 freezes", (Exchange("network", "server 2", "freeze"),)),
        Step("network", "start-server", "server 1 starts again", (Exchange("network", "server 1", "start"),)),
    ),
)  # fmt: skip


def test_what_the_world_outside_says_is_no_message_but_strikes_who_is_told_or_the_host_that_is_named() -> None:
    assert "->" not in text(OUTSIDE) and "->>" not in mermaid(OUTSIDE)
    assert [(step, host) for step, _, host, _ in _events(OUTSIDE)] == [
        (1, "sentinel-1"), (1, "server-1"), (2, "server-2"), (3, "server-1"),
    ]  # fmt: skip
    lines = ElementTree.fromstring(space_time(OUTSIDE)).iter(f"{SVG}polyline")
    dashed = [each.get("points").split(",")[0] for each in lines if each.get("stroke-dasharray")]
    heads = [each.get("x") for each in ElementTree.fromstring(space_time(OUTSIDE)).iter(f"{SVG}text")
             if each.text in ("sentinel 1", "server 1", "server 2")]  # fmt: skip
    assert dashed == heads


def test_lines_are_wrapped_within_their_width_and_keep_all_letters() -> None:
    words = "down-after-milliseconds of sentinel 3 averyveryverylongwordwithoutanybreak"
    lines = wrapped(words, 90, 12)
    assert all(width_of(line, 12) <= 90 for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert "down-after-" in lines
    assert not any(line.endswith("sentinel") for line in lines)


def test_all_forms_are_written(tmp_path) -> None:
    files = write(THREE, tmp_path / "new", "two-leaders")
    assert [file.name for file in files] == [f"two-leaders.{ending}" for ending in FORMS]
    assert [file.read_text(encoding="utf-8") for file in files] == [form(THREE) for form in FORMS.values()]
