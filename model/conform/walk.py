"""Walks the log of one sentinel through the rules, up to the first line that is impossible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from model.conform import arguments, possible, ticks
from model.conform.effects import OPTIONS
from model.conform.guards import LATE_MS, At, Refusal
from model.conform.lines import Line, clock
from model.conform.possible import Finding
from model.conform.rules import RULES, Phase, Rule
from model.conform.state import RECONF_NOT, STATES, Expected, Group, Instance, Process, Settings
from model.sentinel import (
    ELECTION_TIMEOUT_US,
    NONE,
    RECONF,
    SELECT,
    SEND_NO_ONE,
    WAIT_PROMOTION,
    WAIT_START,
)

SPECIAL = ("start", "version", "id", "saved")
SHARED = ("+monitor", "+sentinel", "+slave", "+config-update-from", "+failover-state-wait-promotion", "+promoted-slave",
          "+slave-reconf-sent", "+slave-reconf-sent-be", "+convert-to-slave", "+fix-slave-config")  # fmt: skip
"""Events about an instance that other logs know of too."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that other logs of the same run must agree with."""

    line: int
    at_ms: int
    kind: str
    words: tuple[str, ...]


@dataclass(slots=True)
class Walk:
    """What became of one log: lines walked and ignored, the finding (None: it conforms), checks that were off."""

    kind: str = "sentinel"
    walked: int = 0
    ignored: int = 0
    finding: Finding | None = None
    off: list[str] = field(default_factory=list)
    id: str | None = None
    whole: bool = False
    """The log shows the first start of the sentinel."""
    last_epoch: int = 0
    last_ms: int = 0
    facts: list[Fact] = field(default_factory=list)


def walk(lines: Sequence[Line], settings: Mapping[str, Settings]) -> Walk:
    """Walk all lines of a sentinel's log.

    Parameters
    ----------
    lines : sequence of Line
    settings : mapping
        Settings of each group by its name, as far as they are known from elsewhere.
    """
    walker = _Walker(lines, settings)
    walker.go()
    return walker.result


class _Walker:
    def __init__(self, lines: Sequence[Line], settings: Mapping[str, Settings]) -> None:
        self.lines, self.settings = lines, _unset(settings, lines)
        self.result = Walk()
        self.starts = [index for index, line in enumerate(lines) if line.event == "start"]
        self.process = self._process(0, cut=True)
        self.name_of_id: str | None = None

    def go(self) -> None:
        for index, line in enumerate(self.lines):
            refusal, source = self._step(index, line)
            if refusal:
                self.result.finding = possible.finding(self.process, line, refusal, source)
                break
        self._summary()

    # --- one line ----------------------------------------------------------------------------------------------------

    def _step(self, index: int, line: Line) -> tuple[Refusal | None, str]:
        process = self.process
        if line.event == "start":
            self.process = self._process(index, cut=False)
            self.process.started_ms = self.process.last_ms = line.at_ms
            self.result.walked += 1
            return None, ""
        back = self._went_back(index, line)
        if back:
            return back, "serverLog"
        process.last_ms = line.at_ms
        if line.event == "version":
            process.keeps_answers = line.words[0] == "Valkey" and int(line.words[1]) >= 9
        if line.event == "id":
            process.id = self.result.id = line.words[0]
        if line.event in ("version", "id"):
            self.result.walked += 1
            return None, ""
        if line.event == "saved":
            return self._saved(line)
        rule = RULES.get(line.event)
        if rule is None:
            self._ignore(line)
            return None, ""
        return self._event(index, line, rule)

    def _event(self, index: int, line: Line, rule: Rule) -> tuple[Refusal | None, str]:
        if self._hidden_start(line):
            self.process = self._process(index, cut=True)
        if self.process.cut and self._of_unnamed(line):
            self._ignore(line)  # of a group that was not named yet
            return None, ""
        at, refusal = self._resolve(index, line, rule)
        refusal = refusal or self._refusal(rule, at)
        if refusal:
            return refusal, rule.source
        self._apply(rule, at)
        self.result.walked += 1
        return None, rule.source

    def _refusal(self, rule: Rule, at: At) -> Refusal | None:
        return (
            _unexpected(at)
            or _unfinished_roll(at)
            or self._overdue(rule, at)
            or (None if _in_roll(at) else ticks.refuse(rule, at))
            or next((found for guard in rule.needs if (found := guard(at))), None)
            or arguments.check(at)
        )

    def _apply(self, rule: Rule, at: At) -> None:
        process = at.process
        process.expected = None
        if _in_roll(at):
            process.roll_call.called.add(at.key)
            self._add(at, process.roll_call.since_ms)
        else:
            _end_roll(process)
            ticks.place(rule, at)
            if rule.event in ("+slave", "+sentinel"):
                self._add(at, at.now_ms)
            rule.does(at)
        process.last_event, process.just_saved = rule.event, False
        self._note(at)

    def _saved(self, line: Line) -> tuple[Refusal | None, str]:
        process = self.process
        at = At(process, line.at_ms, line=line)
        refusal = _unfinished_roll(at)
        if refusal:
            return refusal, "sentinelResetMasterAndChangeAddress"
        rolled = process.roll_call is not None
        _end_roll(process)
        if process.expected and process.expected.events == ("saved",):
            process.expected = None  # it belongs to the line before
        else:
            process.just_saved = not rolled
        self.result.walked += 1
        return None, ""

    def _ignore(self, line: Line) -> None:
        """An event that the walk does not know; one of a failover makes its state unknown."""
        self.result.ignored += 1
        if line.event[:1] in ("+", "-") and "failover" in line.event:  # such as those of Valkey's coordinated failover
            for group in self.process.groups.values():
                group.state = None

    def _went_back(self, index: int, line: Line) -> Refusal | None:
        last_ms = self.process.last_ms
        if last_ms is None or line.at_ms >= last_ms:
            return None
        later = (each for each in self.lines[index:] if each.event == "start" or self._is_of_tick(each))
        first = next(later, None)
        if first is not None and first.event in ("+tilt", "start"):
            return None
        return Refusal("its stamp is before that of the line above, and no +tilt says that the clock was set")

    @staticmethod
    def _is_of_tick(line: Line) -> bool:
        rule = RULES.get(line.event)
        return rule is not None and rule.phase not in (Phase.BETWEEN, Phase.ANY)

    def _hidden_start(self, line: Line) -> bool:
        """A start that shows only by +monitor: the lines before that are notices in Redis 7.2 and later."""
        known = line.subject is not None and line.subject.group in self.process.groups
        return line.event == "+monitor" and known and not self.process.shows_notice

    def _of_unnamed(self, line: Line) -> bool:
        """A line of a group that no line has named since the cut."""
        groups = self.process.groups
        return (line.event == "delay" and not groups) or (line.event == "forced" and line.words[0] not in groups)

    # --- whom a line is about ----------------------------------------------------------------------------------------

    def _resolve(self, index: int, line: Line, rule: Rule) -> tuple[At, Refusal | None]:
        process = self.process
        at = At(process, line.at_ms, line=line, own_start=self._own(index, line))
        if rule.about == ("none",):
            at.group = self._group_of_nameless(at, index)
            if line.event in ("+switch-master", "delay") and at.group is None:
                return at, Refusal("there is no such group")
            at.who = at.group.primary if at.group else None
            return at, None
        subject = line.subject
        if subject is None or subject.kind not in rule.about:
            return at, Refusal(f"the line must be about: {' or '.join(rule.about)}")
        refusal = self._find_group(at)
        return at, refusal or self._find_instance(at)

    def _own(self, index: int, line: Line) -> bool:
        """+new-epoch of an own attempt; +vote-for-leader of the candidate itself, in the tick of its start."""
        if line.event == "+vote-for-leader":
            expected = self.process.expected
            return expected is not None and "+vote-for-leader" in expected.events or self._forced_vote(line)
        if line.event != "+new-epoch":
            return False
        follower = next(
            (each for each in self.lines[index + 1 :] if each.event in RULES or each.event in SPECIAL), None
        )
        if follower is None:  # the end of the log: own if an own one is due
            expected = self.process.expected
            return expected is not None and "+new-epoch" in expected.events
        return follower.event == "+try-failover"

    def _forced_vote(self, line: Line) -> bool:
        own = self.process.id in (None, line.words[0])
        return own and any(group.forced and group.waits for group in self.process.groups.values())

    def _group_of_nameless(self, at: At, index: int) -> Group | None:
        process, line = self.process, at.line
        if line.event in ("+tilt", "-tilt", "voted"):
            return None
        name = line.words[0] if line.event in ("+switch-master", "forced") else ""
        if line.event == "+switch-master" and process.cut and name not in process.groups:
            return self._new_group(name, f"{line.words[1]}:{line.words[2]}")
        if name:
            return process.groups.get(name)
        if process.expected and process.expected.group:
            return process.groups.get(process.expected.group)
        if line.event == "+new-epoch" and at.own_start:
            follower = next((each for each in self.lines[index + 1 :] if each.event == "+try-failover"), None)
            return process.groups.get(follower.subject.group) if follower and follower.subject else None
        if line.event == "delay":
            fits = (
                each for each in process.groups.values() if each.o_down and each.state == NONE and not each.delay_logged
            )
            return next(fits, None) or next(iter(process.groups.values()), None)
        if line.event == "+vote-for-leader" and at.own_start:
            return next((each for each in process.groups.values() if each.forced and each.waits), None)
        return next(iter(process.groups.values()), None) if process.single else None

    def _find_group(self, at: At) -> Refusal | None:
        process, subject = self.process, at.line.subject
        at.group = process.groups.get(subject.group)
        if at.line.event == "+monitor":
            if at.group is not None:
                return Refusal("this group is monitored already")
            at.group = self._new_group(subject.group, subject.address)
        elif at.group is None:
            if not process.cut:
                return Refusal("there is no group of this name")
            at.group = self._new_group(subject.group, subject.primary)
        if subject.primary != at.group.address:
            return Refusal(f"the configured primary is {at.group.address}")
        return None

    def _new_group(self, name: str, address: str) -> Group:
        process = self.process
        unknown = process.cut
        primary = Instance(address, created_ms=process.started_ms, s_down=None if unknown else False)
        group = Group(name, address, replace(self.settings.get(name, Settings())), primary,
                      replicas_known=process.fresh, sentinels_known=process.fresh)  # fmt: skip
        if not unknown:
            group.o_down, group.state, group.start_low, group.start_high = False, NONE, 0, 0
        if process.fresh:
            group.vote_epoch = 0
        process.groups[name] = group
        return group

    def _find_instance(self, at: At) -> Refusal | None:
        subject, group = at.line.subject, at.group
        if subject.kind == "master":
            at.who = group.primary
            return None
        is_peer = subject.kind == "sentinel"
        at.key = subject.name if is_peer else subject.address
        if not is_peer and subject.name not in (subject.address, _bracketed(subject.address)):
            return Refusal("a replica's name is its address")
        listed = group.sentinels if is_peer else group.replicas
        at.who = listed.get(at.key)
        if at.line.event == f"+{subject.kind}":
            return self._find_new(at)
        if at.who is None:
            complete = group.sentinels_known if is_peer else group.replicas_known or _rolling(self.process, group)
            if complete:
                return Refusal(f"no such {subject.kind} was announced")
            at.who = listed[at.key] = self._remembered(subject.address)
        return None if at.who.address == subject.address else Refusal(f"its address is {at.who.address}")

    def _find_new(self, at: At) -> Refusal | None:
        subject, process = at.line.subject, self.process
        if at.who is not None:
            return Refusal(f"this {subject.kind} is known already")
        if subject.name == process.id:
            return Refusal("this is the sentinel itself")
        if subject.kind == "slave" and subject.address == at.group.address:
            return Refusal("this is the primary itself")
        at.who = Instance(subject.address, s_down=False)
        return None

    def _remembered(self, address: str) -> Instance:
        """An instance that is known from before: from the configuration file, or from before the cut."""
        cut = self.process.cut
        return Instance(address, created_ms=self.process.started_ms, s_down=None if cut else False,
                        reconf=None if cut else RECONF_NOT)  # fmt: skip

    def _add(self, at: At, since_ms: int) -> None:
        at.who.created_ms = since_ms
        listed = at.group.sentinels if at.line.subject.kind == "sentinel" else at.group.replicas
        listed[at.key] = at.who

    # --- silence -----------------------------------------------------------------------------------------------------

    def _overdue(self, rule: Rule, at: At) -> Refusal | None:
        """A state that the machine must have left by now."""
        process = self.process
        if rule.phase in (Phase.BETWEEN, Phase.ANY) or rule.event == "+tilt" or process.tilt is not False:
            return None
        for group in process.groups.values():
            limit_ms = _deadline(group, process)
            if limit_ms is not None and at.now_ms > limit_ms:
                what = "+odown" if group.state == NONE else f"state {STATES[group.state]}"
                return Refusal(f"{what} must have been followed by a line before {clock(limit_ms)}")
        return None

    # --- start and end -----------------------------------------------------------------------------------------------

    def _process(self, index: int, cut: bool) -> Process:
        end = next((start for start in self.starts if start > index), len(self.lines))
        part = self.lines[index:end]
        old = getattr(self, "process", None)
        fresh = not cut and index == (self.starts[0] if self.starts else -1) and _starts_fresh(part)
        process = Process(
            cut=cut,
            fresh=fresh,
            shows_notice=any(line.level != "#" for line in self.lines),
            shows_saved=any(line.event == "saved" for line in self.lines),
            current_epoch=0 if fresh else old.current_epoch if old else None,
            tilt=None if cut else False,
        )
        if old and not old.cut:
            _carry_over(old, process)
        self.result.whole = self.result.whole or fresh
        return process

    def _note(self, at: At) -> None:
        """Keep what other logs must agree with."""
        event, line = at.line.event, at.line
        group = at.group.name if at.group else ""
        words: tuple[str, ...] | None = None
        if event in ("+vote-for-leader", "voted", "+new-epoch"):
            words = line.words
        elif event in ("+try-failover", "+elected-leader"):
            # Who leads because a user asked for it was elected for no epoch.
            epoch = None if event == "+elected-leader" and at.group.forced else at.group.failover_epoch
            words = (group, "" if epoch is None else str(epoch))
        elif event in SHARED:
            words = (group, at.key or at.who.address, at.who.address)
        elif event == "+switch-master":
            words = (group, f"{line.words[3]}:{line.words[4]}")
        if words is not None:
            self.result.facts.append(Fact(line.number, line.at_ms, event, words))
        if self.process.current_epoch is not None:
            self.result.last_epoch = self.process.current_epoch

    def _summary(self) -> None:
        process, off = self.process, self.result.off
        self.result.last_ms = process.last_ms or 0
        self.result.id = self.result.id or process.id
        if not self.starts:
            off.append("the log does not begin with a start: what was before its first line is open")
        elif not self.result.whole:
            off.append("the first start shown is not known to be the very first: epochs and lists from before are open")
        if not process.shows_notice:
            off.append("only warnings are logged: replicas and their reconfiguration cannot be followed")
        if not process.single:
            off.append("several groups: votes of others are not told apart by group")
        names = {"quorum": "quorum", "down_after": "down-after-milliseconds", "failover_timeout": "failover-timeout",
                 "parallel_syncs": "parallel-syncs"}  # fmt: skip
        for group in process.groups.values():
            unknown = [shown for key, shown in names.items() if getattr(group.settings, key) is None]
            if unknown:
                off.append(f"{group.name}: {', '.join(unknown)} not known: what depends on it is not checked")


# --- small things ----------------------------------------------------------------------------------------------------


def _deadline(group: Group, process: Process) -> int | None:
    """When the failover must have left its state, at the latest; None: not known or never."""
    wait_ms, since_ms = group.settings.failover_timeout, group.state_ms
    restart_ms = process.tilt_end_ms or 0
    if group.state == NONE and group.o_down and group.start_high and wait_ms is not None:
        return max(group.start_high + 2 * wait_ms, restart_ms) + LATE_MS
    if group.state in (None, NONE) or since_ms is None:
        return None
    if group.state == SELECT:
        return max(since_ms, restart_ms) + LATE_MS
    if wait_ms is None:
        return None
    if group.state == WAIT_START and group.start_high:
        return max(group.start_high + min(ELECTION_TIMEOUT_US // 1000, wait_ms), restart_ms) + LATE_MS
    if group.state in (SEND_NO_ONE, WAIT_PROMOTION):
        return max(since_ms + wait_ms, restart_ms) + LATE_MS
    promoted = group.replicas.get(group.promoted or "")
    if group.state == RECONF and promoted is not None and promoted.s_down is False:
        return max(since_ms + wait_ms, promoted.up_ms or 0, restart_ms) + LATE_MS
    return None


def _unexpected(at: At) -> Refusal | None:
    """The function that wrote the line before writes another one next."""
    expected = at.process.expected
    if expected is None or _is_expected(expected, at):
        return None
    return Refusal(f"{expected.source} writes {' or '.join(expected.events)} directly after {at.process.last_event}")


def _is_expected(expected: Expected, at: At) -> bool:
    if at.line.event not in expected.events:
        return False
    if at.line.event == "+new-epoch" and not at.own_start:
        return False
    if at.group is not None and expected.group and at.group.name != expected.group:
        return False
    return not expected.about or expected.about == at.key


def _in_roll(at: At) -> bool:
    roll = at.process.roll_call
    return (
        roll is not None
        and at.line is not None
        and at.line.event == "+slave"
        and at.group.name == roll.group
        and (at.key in roll.expected or not roll.complete)
    )


def _rolling(process: Process, group: Group) -> bool:
    return process.roll_call is not None and process.roll_call.group == group.name


def _unfinished_roll(at: At) -> Refusal | None:
    """All replicas are announced anew before anything else is done."""
    roll = at.process.roll_call
    if roll is None or (at.line.event == "+slave" and _in_roll(at)):
        return None
    missing = roll.expected - roll.called
    if missing:
        return Refusal(f"after a switch each replica is announced anew, and {', '.join(sorted(missing))} was not")
    if at.process.shows_saved and at.line.event != "saved":
        return Refusal("after a switch the configuration is saved before anything else is done")
    return None


def _end_roll(process: Process) -> None:
    if process.roll_call:
        group = process.groups.get(process.roll_call.group)
        if group:
            group.replicas_known = True
        process.roll_call = None


def _starts_fresh(part: Sequence[Line]) -> bool:
    """Whether the sentinel began without a stored configuration.

    It did if it made its id and saved it (7.0 and later), or if it announced every instance that it ever names.
    """
    before_id = [line.event for line in part[: next((i for i, line in enumerate(part) if line.event == "id"), 0)]]
    if "saved" in before_id:
        return True
    if any(line.event == "saved" for line in part):
        return False
    announced: set[str] = set()
    for line in part:
        subject = line.subject
        if subject is None or subject.kind == "master":
            continue
        if line.event == f"+{subject.kind}":
            announced.add(subject.name)
        elif subject.name not in announced:
            return False
    return any(line.event == "+sentinel" for line in part)


def _carry_over(old: Process, new: Process) -> None:
    """What the configuration file keeps over a restart and the walk can use."""
    new.current_epoch = old.current_epoch


def _unset(settings: Mapping[str, Settings], lines: Iterable[Line]) -> dict[str, Settings]:
    """Without the settings that the log changes: their values before the change are not known."""
    known = {name: replace(each) for name, each in settings.items()}
    for line in lines:
        if line.event == "+set" and line.subject and line.subject.rest and line.subject.group in known:
            option = OPTIONS.get(line.subject.rest[0].lower())
            if option:
                setattr(known[line.subject.group], option, None)
    return known


def _bracketed(address: str) -> str:
    ip, _, port = address.rpartition(":")
    return f"[{ip}]:{port}"
