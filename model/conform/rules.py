"""The table: every event of a sentinel, who writes it, when in a tick, what it needs, what it does.

It is a relation on the states of `model.conform.state`: where the machine (`model.sentinel`) computes *the* next step
from everything that it holds, this says which steps a log can show next, whatever the hidden rest is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from model.conform import effects
from model.conform import guards as needs
from model.conform.guards import At, Guard, in_state, reconf
from model.conform.state import RECONF_IS_DONE, RECONF_IS_INPROG, RECONF_IS_SENT, RECONF_NOT
from model.sentinel import (
    NONE,
    RECONF,
    SELECT,
    SEND_NO_ONE,
    UPDATE_CONFIG,
    WAIT_PROMOTION,
    WAIT_START,
)


class Phase(IntEnum):
    """Where in a tick a line is written; the order of work in sentinelTimer."""

    BETWEEN = 0
    """Between ticks, when a reply, a hello or a command is handled."""
    CLOCK = 1
    SDOWN = 2
    ODOWN = 3
    START = 4
    STEP = 5
    REPLICAS = 6
    SENTINELS = 7
    SWITCH = 8
    ANY = 9
    """No statement."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One event: the kinds of instance it can be about, its source, its place in a tick, needs and effect.

    ``about`` holds ``master``, ``slave``, ``sentinel``, or ``none``. ``notice``: not shown if only warnings are.
    """

    event: str
    about: tuple[str, ...]
    source: str
    phase: Phase
    needs: tuple[Guard, ...]
    does: Callable[[At], None]
    notice: bool = False


PRIMARY, REPLICA, PEER, NOBODY = ("master",), ("slave",), ("sentinel",), ("none",)
SERVER, ANY = PRIMARY + REPLICA, PRIMARY + REPLICA + PEER
ACTING = (needs.not_tilted,)
FLUSH = needs.HELD_UP_MS + needs.TILT_TRIGGER_MS
"""A flush stands between the change of state and the line about it: allowed to last as long as it starts no TILT."""

RULES = {rule.event: rule for rule in (
    Rule("+tilt", NOBODY, "sentinelCheckTiltCondition", Phase.CLOCK, (needs.gap_between_ticks,), effects.tilt),
    Rule("-tilt", NOBODY, "sentinelHandleRedisInstance", Phase.CLOCK, (needs.tilted_long_enough,), effects.tilt_end),
    Rule("+sdown", ANY, "sentinelCheckSubjectivelyDown", Phase.SDOWN,
         (*ACTING, needs.is_up, needs.silent_long_enough), effects.s_down),
    Rule("-sdown", ANY, "sentinelCheckSubjectivelyDown", Phase.SDOWN, (*ACTING, needs.is_down), effects.s_up),
    Rule("+odown", PRIMARY, "sentinelCheckObjectivelyDown", Phase.ODOWN,
         (*ACTING, needs.primary_is_down, needs.not_objectively_down, needs.peers_could_answer), effects.o_down),
    Rule("-odown", PRIMARY, "sentinelCheckObjectivelyDown", Phase.ODOWN,
         (*ACTING, needs.objectively_down), effects.o_up),
    Rule("forced", NOBODY, "sentinelCommand", Phase.BETWEEN, (), effects.forced),
    Rule("delay", NOBODY, "sentinelStartFailoverIfNeeded", Phase.START,
         (*ACTING, needs.objectively_down, in_state(NONE), needs.gate_shut), effects.delay),
    Rule("+new-epoch", NOBODY, "sentinelStartFailover, sentinelVoteLeader, sentinelProcessHelloMessage", Phase.ANY,
         (), effects.new_epoch),
    Rule("+try-failover", PRIMARY, "sentinelStartFailover", Phase.START,
         (needs.just_new_epoch, needs.demanded, in_state(NONE), needs.gate_open), effects.try_failover),
    Rule("+vote-for-leader", NOBODY, "sentinelVoteLeader", Phase.ANY, (), effects.vote),
    Rule("voted", NOBODY, "sentinelReceiveIsMasterDownReply", Phase.BETWEEN, (), effects.voted, notice=True),
    Rule("+elected-leader", PRIMARY, "sentinelFailoverWaitStart", Phase.STEP,
         (*ACTING, in_state(WAIT_START), needs.enough_votes, needs.votes_need_a_tick), effects.elected),
    Rule("-failover-abort-not-elected", PRIMARY, "sentinelFailoverWaitStart", Phase.STEP,
         (*ACTING, in_state(WAIT_START), needs.waited_for_votes), effects.aborted),
    Rule("+failover-state-select-slave", PRIMARY, "sentinelFailoverWaitStart", Phase.STEP,
         (*ACTING, in_state(SELECT)), effects.nothing),
    Rule("-failover-abort-no-good-slave", PRIMARY, "sentinelFailoverSelectSlave", Phase.STEP,
         (*ACTING, in_state(SELECT), needs.next_tick), effects.aborted),
    Rule("+selected-slave", REPLICA, "sentinelFailoverSelectSlave", Phase.STEP,
         (*ACTING, in_state(SELECT), needs.is_up, needs.next_tick), effects.selected),
    Rule("+failover-state-send-slaveof-noone", REPLICA, "sentinelFailoverSelectSlave", Phase.STEP,
         (*ACTING, in_state(SEND_NO_ONE), needs.is_the_promoted), effects.nothing, notice=True),
    Rule("+failover-state-wait-promotion", REPLICA, "sentinelFailoverSendSlaveOfNoOne", Phase.STEP,
         (*ACTING, in_state(SEND_NO_ONE), needs.is_the_promoted, needs.next_tick), effects.wait_promotion, notice=True),
    Rule("-failover-abort-slave-timeout", PRIMARY,
         "sentinelFailoverSendSlaveOfNoOne, sentinelFailoverWaitPromotion", Phase.STEP,
         (*ACTING, in_state(SEND_NO_ONE, WAIT_PROMOTION), needs.state_timed_out(0)), effects.aborted),
    Rule("+promoted-slave", REPLICA, "sentinelRefreshInstanceInfo", Phase.BETWEEN,
         (*ACTING, in_state(WAIT_PROMOTION), needs.is_the_promoted), effects.promoted),
    Rule("+failover-state-reconf-slaves", PRIMARY, "sentinelRefreshInstanceInfo", Phase.BETWEEN,
         (*ACTING, in_state(RECONF)), effects.nothing),
    Rule("-slave-reconf-sent-timeout", REPLICA, "sentinelFailoverReconfNextSlave", Phase.STEP,
         (*ACTING, in_state(RECONF), needs.not_the_promoted, reconf(RECONF_IS_SENT), needs.not_given_up,
          needs.sent_long_ago, needs.free_slot), effects.reconf_timeout, notice=True),
    Rule("+slave-reconf-sent", REPLICA, "sentinelFailoverReconfNextSlave", Phase.STEP,
         (*ACTING, in_state(RECONF), needs.not_the_promoted, reconf(RECONF_NOT), needs.not_given_up,
          needs.free_slot), effects.reconf_sent, notice=True),
    Rule("+slave-reconf-sent-be", REPLICA, "sentinelFailoverDetectEnd", Phase.STEP,
         (*ACTING, in_state(UPDATE_CONFIG), needs.not_the_promoted, reconf(RECONF_NOT, RECONF_IS_INPROG),
          needs.not_given_up), effects.reconf_sent, notice=True),
    Rule("+slave-reconf-inprog", REPLICA, "sentinelRefreshInstanceInfo", Phase.BETWEEN,
         (*ACTING, in_state(RECONF), needs.not_the_promoted, reconf(RECONF_IS_SENT)),
         effects.reconf_is(RECONF_IS_INPROG), notice=True),
    Rule("+slave-reconf-done", REPLICA, "sentinelRefreshInstanceInfo", Phase.BETWEEN,
         (*ACTING, in_state(RECONF), needs.not_the_promoted, reconf(RECONF_IS_INPROG)),
         effects.reconf_is(RECONF_IS_DONE), notice=True),
    Rule("+failover-end-for-timeout", PRIMARY, "sentinelFailoverDetectEnd", Phase.STEP,
         (*ACTING, in_state(RECONF), needs.promoted_is_up, needs.state_timed_out(FLUSH)), effects.end_for_timeout),
    Rule("+failover-end", PRIMARY, "sentinelFailoverDetectEnd", Phase.STEP,
         (*ACTING, in_state(RECONF), needs.promoted_is_up, needs.all_replicas_done), effects.failover_end),
    Rule("+config-update-from", PEER, "sentinelProcessHelloMessage", Phase.BETWEEN,
         (needs.newer_configuration_possible,), effects.config_update),
    Rule("+switch-master", NOBODY, "sentinelFailoverSwitchToPromotedSlave, sentinelProcessHelloMessage", Phase.ANY,
         (), effects.switch),
    Rule("+convert-to-slave", REPLICA, "sentinelRefreshInstanceInfo", Phase.BETWEEN,
         (*ACTING, needs.primary_looks_sane, needs.not_the_promoted, needs.quiet_for_rogue),
         effects.nothing, notice=True),
    Rule("+fix-slave-config", REPLICA, "sentinelRefreshInstanceInfo", Phase.BETWEEN,
         (*ACTING, needs.primary_looks_sane, needs.quiet_for_fix), effects.nothing, notice=True),
    Rule("+slave", REPLICA, "sentinelRefreshInstanceInfo, sentinelResetMasterAndChangeAddress", Phase.BETWEEN,
         (), effects.known_replica, notice=True),
    Rule("+sentinel", PEER, "sentinelProcessHelloMessage", Phase.BETWEEN, (), effects.known_peer, notice=True),
    Rule("+sentinel-invalid-addr", PEER, "sentinelProcessHelloMessage", Phase.BETWEEN, (),
         effects.forget_peer, notice=True),
    Rule("+sentinel-address-switch", PRIMARY, "sentinelProcessHelloMessage", Phase.BETWEEN, (),
         effects.moved_peer, notice=True),
    Rule("+sentinel-address-update", PEER, "sentinelUpdateSentinelAddressInAllMasters", Phase.BETWEEN, (),
         effects.nothing, notice=True),
    Rule("+reboot", SERVER, "sentinelRefreshInstanceInfo", Phase.BETWEEN, (), effects.reboot, notice=True),
    Rule("+role-change", SERVER, "sentinelRefreshInstanceInfo", Phase.BETWEEN, (), effects.nothing, notice=True),
    Rule("-role-change", SERVER, "sentinelRefreshInstanceInfo", Phase.BETWEEN, (), effects.nothing, notice=True),
    Rule("+reset-master", PRIMARY, "sentinelResetMaster", Phase.BETWEEN, (), effects.reset),
    Rule("+monitor", PRIMARY, "sentinelGenerateInitialMonitorEvents, sentinelCommand", Phase.BETWEEN,
         (), effects.monitor),
    Rule("-monitor", PRIMARY, "sentinelCommand", Phase.BETWEEN, (), effects.unmonitor),
    Rule("+set", PRIMARY, "sentinelSetCommand", Phase.BETWEEN, (), effects.set_option),
)}  # fmt: skip
"""Every event that the walk knows, by its name. Kind: specified (sentinel.c of Redis 6.2 to 8.0)."""
