"""Bounds of every milestone, outage and time with two primaries of a scenario: `model.bounds.limits` put together.

What has no bound is absent, and `Bounds.missing` says why.

Left out: outages of registrar nodes and of clients, which follow their own settings (`model.semi_markov`,
`model.client_classes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.bounds import limits
from model.bounds.group import LOCAL_MS, Group, Kind, Range, fault_of, group_of, hull, ranked, way
from model.bounds.limits import Pace
from model.laws import TICK_MS
from model.measures import MILESTONES, WRITE_OUTAGE
from model.scenario import Scenario
from model.sentinel import PING_PERIOD_US, TILT_TRIGGER_US

PING_MS = PING_PERIOD_US / 1000

TWO_WRITABLE = "two_writable"
"""Time in which two servers took writes of the prober."""

_STARTING_MS = 150
"""From starting a server until a sentinel is let in, at most. Kind: assumed (30 ms are usual)."""

_SYN_PAUSE_MS = 4_000 + 2 * TICK_MS[1]
"""Longest pause between two SYN to a host that is gone: after 1, 2, 3, 4, 5, 7, 11 s, and at 15 s and two ticks the
sentinel has hung up and begins anew. Kind: specified."""

_CONTACT_MS = {"host": _SYN_PAUSE_MS, "redis": PING_MS + _STARTING_MS, "host-killed": PING_MS + _STARTING_MS,
               "frozen": PING_MS, "host-frozen": PING_MS}  # fmt: skip
"""From an old primary's return until a sentinel has a connection again, besides two ticks and two round trips."""

_CRON_MS = 1_000
"""Replicas with little lag are counted once a second, in whole seconds. Kind: vendor default."""


@dataclass(slots=True)
class Bounds:
    """Bounds of one scenario after one kind of fault.

    Attributes
    ----------
    ranges : dict of str to Range
        By milestone, `WRITE_OUTAGE` and `TWO_WRITABLE`.
    missing : dict of str to str
        Why the others have none.
    """

    ranges: dict[str, Range] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def milestones(scenario: Scenario, kind: Kind, lost: int = 0) -> dict[str, Range]:
    """Least and greatest time of each milestone after the fault, as `model.measures` names them.

    They hold for every run whose first election is won (`lost_election` false), or as many are lost as given. Those
    without a bound are absent: `bounds_of` says why. Derivations: `model.bounds.limits`, proofs: `study.proofs`.

    Parameters
    ----------
    scenario : Scenario
    kind : Kind
    lost : int
        Attempts that fail before one succeeds.

    Raises
    ------
    UsageError
        The scenario loses packets.
    """
    found = bounds_of(scenario, kind, lost).ranges
    return {name: found[name] for name in MILESTONES if name in found}


def ranges_of(scenario: Scenario) -> dict[str, Range]:
    """Bounds for a scenario's own time line: empty when it is more than a fault of the primary and its end."""
    fault = fault_of(scenario)
    drifts = any(host.clock_drift_ppm for host in scenario.host)
    if fault is None or drifts or any(link.loss_percent for link in scenario.link):
        return {}
    kind, undone_ms = fault
    found = bounds_of(scenario, kind)
    if undone_ms is not None and undone_ms < _settled_ms(scenario, found.ranges):
        return {}
    if any(each.kind == "partition" for each in scenario.fault):
        # The prober is no part of the cluster: it reaches both sides of a split.
        return {name: each for name, each in found.ranges.items() if name not in (WRITE_OUTAGE, TWO_WRITABLE)}
    return found.ranges


def bounds_of(scenario: Scenario, kind: Kind, lost: int = 0) -> Bounds:
    """Bounds of all that can be bounded, and why the rest cannot; parameters as for `milestones`."""
    group = group_of(scenario, kind)
    case = _Case(scenario, kind, group)
    found = Bounds()
    reason = case.no_suspicion()
    if not reason:
        _put_agreement(found, case)
        reason = case.no_election()
    if not reason:
        found.ranges["elected"] = found.ranges["odown_first"] + case.election() + case.lost(lost)
        reason = case.no_promotion()
    if not reason:
        _put_switch(found, case)
    _put_after(found, case)
    names = [*MILESTONES, WRITE_OUTAGE, TWO_WRITABLE]
    reason = reason or case.no_rest()
    found.missing = {name: found.missing.get(name, reason) for name in names if name not in found.ranges}
    return found


class _Case:
    """A scenario, a fault, and what of both the limits need."""

    def __init__(self, scenario: Scenario, kind: Kind, group: Group) -> None:
        self.scenario, self.kind, self.group = scenario, kind, group
        self.timeout_ms = float(scenario.sentinel.failover_timeout_ms)
        self.pace = Pace(group.down_after_ms, min(group.down_after_ms, PING_MS), group.between, group.flush_ms)
        servers = [host for host in scenario.host if host.redis and host.name != scenario.server.primary]
        self.eligible = [host.name for host in servers if host.replica_priority]
        self.others = len(servers) - 1
        self.way = hull([way(scenario, a, b) for a in scenario.sentinel_hosts for b in self.eligible])

    def no_suspicion(self) -> str:
        ways = [*self.group.forth, *self.group.back, self.group.between, self.way]
        if not self.group.live:
            return "the fault leaves no sentinel"
        if 2 * max(each.high_ms for each in ways) > self.pace.period_ms / 2:
            return "a round trip takes longer than half a PING period: PINGs overlap"
        return ""

    def no_election(self) -> str:
        group = self.group
        if group.live < group.quorum:
            return f"{group.live} sentinels are left, the quorum is {group.quorum}"
        if not group.fails_over:
            return f"{group.live} sentinels are left, a leader needs {group.votes} votes"
        if (1 + 2 * group.live) * group.flush_ms + self.pace.tick.high_ms > TILT_TRIGGER_US / 1000:
            return "rewrites of the file may take so long that they start TILT"
        if self.timeout_ms < limits.sighting(self.pace, self.way).high_ms + 2 * self.way.high_ms:
            return "failover-timeout is shorter than it takes to see a promotion: the attempt may be given up"
        return ""

    def no_promotion(self) -> str:
        return "" if self.eligible else "no replica may be promoted"

    def no_rest(self) -> str:
        """After +switch-master a sentinel may wait for a second before it connects to the new primary."""
        if self.pace.delay_ms <= PING_MS + 2 * self.pace.tick.high_ms + 4 * self.way.high_ms:
            return "the delay is so short that sentinels suspect the new primary before they are connected to it"
        return ""

    def suspicion(self, index: int) -> Range:
        """+sdown of one live sentinel."""
        forth, back = self.group.forth[index], self.group.back[index]
        if not self.group.is_reset:
            return limits.silent(self.pace, forth, back)
        found = limits.reset(self.pace, forth, back)
        return found if back.low_ms == back.high_ms else self._reset_in_two(found, back)

    def _reset_in_two(self, found: Range, back: Range) -> Range:
        """With jitter one of the two resets may come a tick later than the other.

        The second one waits for the next reconnect, a second and a tick later. Until then the sentinel has no PING
        under way and looks at the last answer, which may be a period and a tick old: with a short delay it suspects at
        once.
        """
        tick_ms = self.pace.tick.high_ms
        again_ms = PING_MS + tick_ms
        low_ms = found.low_ms
        if self.pace.delay_ms <= back.high_ms - back.low_ms + tick_ms + self.pace.period_ms + again_ms + tick_ms:
            low_ms = min(low_ms, max(back.low_ms, back.low_ms - tick_ms - self.pace.period_ms + self.pace.delay_ms))
        return Range(low_ms, found.high_ms + again_ms)

    @property
    def may_waver(self) -> bool:
        """A sentinel may take its first +sdown back (`_reset_in_two`)."""
        return any(self.suspicion(n).low_ms < self.pace.delay_ms - way_.high_ms
                   for n, way_ in enumerate(self.group.forth))  # fmt: skip

    def agreement(self) -> Range:
        if self.group.quorum == 1:
            return Range(0, 0)
        found = limits.agreement(self.pace, 2 * self.group.between.high_ms < self.pace.tick.low_ms)
        # Who has asked within the last second does not ask again before it is over.
        return found + Range(0, PING_MS + self.pace.tick.high_ms) if self.may_waver else found

    def election(self) -> Range:
        group = self.group
        if group.votes == 1:
            return Range(0, group.flush_ms)
        answers_ms = 2 * group.between.high_ms + (1 + 2 * group.live) * group.flush_ms
        return limits.election(self.pace, group.live, answers_ms < self.pace.tick.low_ms)

    def lost(self, attempts: int) -> Range:
        once = limits.retry(self.pace, self.timeout_ms)
        return Range(attempts * once.low_ms, attempts * once.high_ms)


def _put_agreement(found: Bounds, case: _Case) -> None:
    """+sdown of the first and of the quorum-th sentinel, and +odown."""
    ranges = tuple(case.suspicion(index) for index in range(case.group.live))
    found.ranges["sdown_first"] = ranked(ranges, 1)
    if case.group.live >= case.group.quorum:
        found.ranges["sdown_quorum"] = ranked(ranges, case.group.quorum)
        found.ranges["odown_first"] = found.ranges["sdown_quorum"] + case.agreement()


def _put_switch(found: Bounds, case: _Case) -> None:
    """From the promotion to the last +switch-master, and the outage of writes."""
    turned = found.ranges["elected"] + limits.turning(case.pace, case.way)
    promoted = found.ranges["promoted"] = turned + limits.sighting(case.pace, case.way)
    own = limits.own_switch(case.pace, case.way, case.timeout_ms if case.others else 0)
    heard = limits.hearing(case.pace, case.way) if case.group.live > 1 else own
    found.ranges["switch_first"] = promoted + Range(own.low_ms, min(own.high_ms, heard.high_ms))
    if not case.no_rest():
        found.ranges["switch_last"] = promoted + Range(own.low_ms, max(own.high_ms, heard.high_ms))
    if case.scenario.server.min_replicas_to_write:
        found.missing["first_write"] = found.missing[WRITE_OUTAGE] = (
            "the promoted server refuses writes until enough replicas follow it"
        )
        return
    period_ms = case.scenario.probe.write_period_ms
    first = found.ranges["first_write"] = turned + Range(0, limits.REWRITE_MS + period_ms + 2 * LOCAL_MS)
    found.ranges[WRITE_OUTAGE] = Range(max(0, first.low_ms - period_ms - 2 * LOCAL_MS), first.high_ms)


def _settled_ms(scenario: Scenario, ranges: dict[str, Range]) -> float:
    """From when on nothing of the failover is under way and the old primary counts as a replica that is down."""
    last_ms = max(
        (each.high_ms for name, each in ranges.items() if name in MILESTONES and name != "demoted"), default=0
    )
    return last_ms + scenario.sentinel.down_after_ms + 2 * PING_MS


def _put_after(found: Bounds, case: _Case) -> None:
    """The return of the old primary: when it is told to follow, and for how long there are two."""
    fault = fault_of(case.scenario)
    undone_ms = fault[1] if fault else None
    if "switch_last" not in found.ranges:
        return
    if undone_ms is None:
        found.missing |= dict.fromkeys(("demoted", TWO_WRITABLE), "the old primary does not return")
        return
    if undone_ms < _settled_ms(case.scenario, found.ranges):
        reason = "the old primary returns before the failover is over for certain"
        found.missing |= dict.fromkeys(("demoted", TWO_WRITABLE), reason)
        return
    primary = case.scenario.server.primary
    ways = hull([way(case.scenario, host, primary) for host in case.scenario.sentinel_hosts if host != primary])
    contact_ms = _CONTACT_MS[case.kind] + 2 * case.pace.tick.high_ms + 4 * ways.high_ms
    told = found.ranges["demoted"] = limits.demotion(case.pace, ways, contact_ms)
    if case.scenario.server.min_replicas_to_write:
        found.ranges[TWO_WRITABLE] = Range(0, _CRON_MS + case.scenario.probe.write_period_ms)
    else:
        end_ms = ways.high_ms + limits.REWRITE_MS + case.scenario.probe.write_period_ms + 2 * LOCAL_MS
        found.ranges[TWO_WRITABLE] = Range(0, told.high_ms + end_ms)


def cut_off(scenario: Scenario) -> tuple[float, float] | None:
    """For how long there are two primaries, at most, while the first one is cut off together with clients of its own.

    Without min-replicas-to-write it takes writes for as long as it is cut off. With it, it stops when it has not heard
    of its replicas for more than min-replicas-max-lag: compared in whole seconds, looked at once a second.

    Returns
    -------
    tuple of float or None
        ms while it is cut off (infinite: as long as that lasts) and ms after the cut has healed; None when the rest
        cannot fail over.

    Raises
    ------
    UsageError
        The scenario loses packets.
    """
    found = bounds_of(scenario, "host").ranges
    if "elected" not in found:
        return None
    turned_ms = found["elected"].low_ms + 2 * TICK_MS[0]
    server = scenario.server
    if server.min_replicas_to_write and server.min_replicas_max_lag_s:
        stops_ms = 1000 * (server.min_replicas_max_lag_s + 1) + _CRON_MS
        return max(0.0, stops_ms - turned_ms), 0.0
    primary = server.primary
    ways = hull([way(scenario, host, primary) for host in scenario.sentinel_hosts if host != primary])
    pace = Pace(scenario.sentinel.down_after_ms, 0, Range(0, 0), scenario.sentinel.flush_us / 1000)
    contact_ms = _CONTACT_MS["host"] + 2 * pace.tick.high_ms + 4 * ways.high_ms
    return float("inf"), limits.demotion(pace, ways, contact_ms).high_ms + ways.high_ms
