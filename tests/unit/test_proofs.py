"""Bounds proved for all settings; each mutated bound or step is noticed; what a machine really does meets the steps."""

import importlib.util
import math
import sys
from collections import defaultdict
from types import ModuleType, SimpleNamespace

import pytest

from model import sentinel
from model.bounds import KINDS, group_of, limits, steps, struck
from model.sentinel import PING_PERIOD_US
from sim.world import World

SEED = 20_261_123


@pytest.fixture
def proofs():
    pytest.importorskip("z3", reason="proofs need z3-solver")
    from study.proofs import bounds

    return bounds


def mutated(module: ModuleType, old: str, new: str) -> ModuleType:
    """A copy of a module in which a text that is there once stands for another."""
    source = importlib.util.find_spec(module.__name__).loader.get_source(module.__name__)
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module.__name__}"
    copy = ModuleType(module.__name__)
    sys.modules[copy.__name__], kept = copy, sys.modules[copy.__name__]  # dataclasses look their module up
    try:
        exec(source.replace(old, new), copy.__dict__)
    finally:
        sys.modules[copy.__name__] = kept
    return copy


def test_no_run_is_outside_whatever_the_settings_and_runs_come_up_to_both_ends(proofs):
    found = list(proofs.prove_all())
    assert [each for each in found if not each.is_sound] == []
    asked = [answer for each in found for answer in (each.least, each.greatest) if answer is not None]
    assert len(found) == len(proofs.CLAIMS) + 15 + 1 and len(asked) == 21


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("silent", "back.high_ms + pace.period_ms + pace.tick.high_ms", "back.high_ms + pace.period_ms"),
        ("silent", "Range(-forth.high_ms, back.high_ms + pace.period_ms", "Range(0, back.high_ms + pace.period_ms"),
        ("silent", "back.high_ms + pace.period_ms", "pace.period_ms"),
        ("reset", "Range(-forth.high_ms, back.high_ms + pace.tick.high_ms)", "Range(-forth.high_ms, back.high_ms)"),
        ("caught", "Range(-forth.high_ms, back.high_ms + pace.tick", "Range(0, back.high_ms + pace.tick"),
        ("asked_late_slow", "0 if swift else 2 * pace.between.high_ms\n    earliest", "0\n    earliest"),
        ("asked_early", "greatest(pace.tick.low_ms - pace.between.high_ms,", "greatest(pace.tick.low_ms,"),
        ("elected", "rival_ms = pace.between.high_ms + 3 * flush_ms", "rival_ms = 3 * flush_ms"),
        ("elected_slow", "(1 + 2 * live) * flush_ms", "2 * live * flush_ms"),
        ("turned", "2 * pace.tick.high_ms + 2 * pace.flush_ms", "2 * pace.tick.high_ms"),
        ("promoted", "FAST_INFO_MS + pace.tick.high_ms", "pace.tick.high_ms"),
        ("switched", "3 * pace.between.high_ms + HELLO_MS", "HELLO_MS"),
        ("again", "+ DESYNC_MS + pace.tick.high_ms", "+ pace.tick.high_ms"),
        ("demoted", "contact_ms + INFO_MS + pace.tick.high_ms", "contact_ms + INFO_MS"),
    ],
)  # fmt: skip
def test_a_bound_that_lacks_a_term_is_refuted_by_a_run(proofs, monkeypatch, key, old, new):
    monkeypatch.setattr(proofs, "limits", mutated(limits, old, new))
    proof = proofs.prove(next(claim for claim in proofs.CLAIMS if claim.key == key))
    assert not proof.holds and proof.counterexample


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("silent", "tick > due", "tick >= due"),
        ("silent", "before <= due", "before < due"),
        ("silent", "before <= due", "before <= due + 1"),
        ("silent", "run.ping + run.lost >= 0\n    yield from", "run.ping + run.lost >= -1\n    yield from"),
        ("promoted", "run.early + run.forth <= 0", "run.early + run.forth <= 1"),
        ("promoted", "run.early + run.forth <= 0", "run.early + run.forth < 0"),
        ("again", "run.before < run.drawn + 2 * timeout_ms", "run.before <= run.drawn + 2 * timeout_ms"),
        ("elected", "run.start <= run.heard + run.before_heard", "run.start <= run.heard"),
    ],
)
def test_a_step_that_is_changed_by_a_hair_is_noticed(proofs, monkeypatch, key, old, new):
    """`>` for `>=` leaves the bound true, or not; but then its end is reached that was open, or the other way round."""
    monkeypatch.setattr(proofs, "steps", mutated(steps, old, new))
    proof = proofs.prove(next(claim for claim in proofs.CLAIMS if claim.key == key))
    assert not proof.is_sound


# --- the machine takes these steps -----------------------------------------------------------------------------------


class Watched:
    """Instants of one simulated run: ticks of each sentinel, PINGs to the primary, their answers, resets, +sdown."""

    def __init__(self, scenario, run, monkeypatch):
        self.of = defaultdict(lambda: SimpleNamespace(ticks=[], pings=[], answers=[], resets=[], down=None))
        self.link = 2 * scenario.host_names.index(scenario.server.primary)
        for name in ("on_timer", "on_message", "_send_ping"):
            monkeypatch.setattr(sentinel, name, self._watching(name, getattr(sentinel, name)))
        self.world = World(scenario, SEED, run)
        for event in self.world.trace().events:
            seen = self.of[scenario.host_names.index(event.host)] if event.event == "+sdown" else None
            if seen and event.about == scenario.server.primary and event.code == 0 and seen.down is None:
                seen.down = event.t_us / 1000

    def _watching(self, name, plain):
        def on_timer(node, now_us, which, out):
            self.node = node.me
            self.of[node.me].ticks.append(self._ms(now_us))
            plain(node, now_us, which, out)

        def on_message(node, now_us, source, message, out):
            kinds = {sentinel.PONG: "answers", sentinel.LINK_CLOSED: "resets"}
            if source == self.link and message.kind in kinds:
                getattr(self.of[node.me], kinds[message.kind]).append(self._ms(now_us))
            plain(node, now_us, source, message, out)

        def send_ping(watch, now_us, link, out):
            if link == self.link:
                self.of[self.node].pings.append(self._ms(now_us))
            plain(watch, now_us, link, out)

        return {"on_timer": on_timer, "on_message": on_message, "_send_ping": send_ping}[name]

    def _ms(self, now_us):
        """Since the fault: clocks are right in these runs, and begin where the world's does."""
        return (now_us - self.world.state.origin_us) / 1000


def before(times, t_ms):
    """The last instant before."""
    return max(each for each in times if each < t_ms)


def run_of(seen, group, index):
    """The attributes that the conditions speak of, and which conditions these are."""
    answered_at = max(seen.answers[n] for n in range(len(seen.answers)) if seen.answers[n] < seen.down)
    ping = min((each for each in seen.pings if each >= answered_at), default=math.inf)
    forth, back = group.forth[index].low_ms, group.back[index].low_ms
    run = SimpleNamespace(ping=ping, before_ping=before(seen.ticks, ping), down=seen.down, lost=forth, forth=forth,
                          back=back, before_down=before(seen.ticks, seen.down),
                          answered=max(each for each in seen.pings if each < answered_at))  # fmt: skip
    if not group.is_reset:
        return run, "silent"
    run.reset = min(each for each in seen.resets if each >= 0)
    return run, "caught" if ping <= run.reset else "reset"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delay_ms", [400, 1700])
def test_runs_of_the_machine_meet_the_conditions(scenario, monkeypatch, kind, delay_ms):
    hosts = tuple(host.model_copy(update={"registrar": False}) for host in scenario.host)
    section = scenario.sentinel.model_copy(update={"down_after_ms": delay_ms})
    short = scenario.run.model_copy(update={"horizon_ms": delay_ms + 1_500})
    case = struck(scenario.model_copy(update={"host": hosts, "sentinel": section, "run": short}), kind)
    group = group_of(case, kind)
    pace = limits.Pace(delay_ms, min(delay_ms, PING_PERIOD_US / 1000), group.between, group.flush_ms)
    live = [n for n, name in enumerate(case.sentinel_hosts) if group.live == 3 or name != case.server.primary]
    with monkeypatch.context() as patch:
        watched = Watched(case, 0, patch)
    checked = [node for node in live if watched.of[node].down is not None]
    for node in checked:
        run, which = run_of(watched.of[node], group, live.index(node))
        forth, back = rounded(group.forth[live.index(node)]), rounded(group.back[live.index(node)])
        conditions = {
            "silent": lambda f=forth, b=back, r=run: steps.silent_steps(pace, f, b, r),
            "reset": lambda b=back, r=run: steps.reset_steps(pace, b, r),
            "caught": lambda f=forth, b=back, r=run: steps.caught_steps(pace, f, b, r),
        }[which]()
        broken = [words for words, truth in conditions if not truth]
        assert not broken, f"{kind}, {which}, sentinel {node}, seed {SEED}: {run}"
    assert len(checked) >= 2


def rounded(way):
    """A way's limits, widened by what sums of binary fractions of a ms are off."""
    return limits.Range(way.low_ms - 1e-6, way.high_ms + 1e-6)
