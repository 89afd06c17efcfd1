"""The order in which a SIP client tries the nodes of an SRV answer.

RFC 2782 asks for: lowest priority first; within one priority again and again a draw among the records that are left,
by weight. `RFC2782` does just that. What real clients do instead:

========= ==========================================================================================================
MODULO    belle-sip (belle_sip_resolver.c): the draw lacks its upper end, and as soon as one priority has several
          records, the priorities with a *single* record are lost from the list
HASH      libre (dns/rrlist.c): highest of (12 bits of a hash of the name, mixed with a key that follows from the
          client's own name) + weight; so one client always gets the same order, and small weights hardly count
SCATTER   twinkle (dnssrv.cpp): highest of (query number modulo weight + 1); equal weights leave the answer's order
FIRST     no weights at all: priority, then the order of the answer
========= ==========================================================================================================

The functions work on the arrays of `model.sip_client.CLIENT`: from `answer_*` to `list_*`. A single record "." and an
empty answer are the driver's (they are no answer). Left out: ports, and several addresses of one target.
"""

from __future__ import annotations

from model import draws

RFC2782, MODULO, HASH, SCATTER, FIRST = 0, 1, 2, 3, 4

HASH_KEYS = 1 << 12
"""Values of the part of a hash that libre uses. Kind: vendor default (libre 4.10, dns/rrlist.c)."""

QUERY_NUMBERS = 1 << 16
"""Values of the number of a DNS query. Kind: specified (RFC 1035 section 4.1.1: 16 bits)."""

_TAKEN, _LEFT = 1, 0
_NONE = -1


def order(node):
    """Put the records of the answer in the order in which this client will try them."""
    how = node.behaviour.srv_order
    query_number = draws.below(node.stream, QUERY_NUMBERS) if how == SCATTER else 0
    drops_singles = how == MODULO and _some_priority_has_several(node)
    for record in range(node.answer_count):
        is_lost = drops_singles and _records_of(node, node.answer_priority[record]) == 1
        node.answer_taken[record] = _TAKEN if is_lost else _LEFT
    node.list_count = 0
    for _ in range(node.answer_count):
        priority = _lowest_priority_left(node)
        if priority != _NONE:
            record = _pick(node, how, priority, query_number)
            node.answer_taken[record] = _TAKEN
            node.list_host[node.list_count] = node.answer_host[record]
            node.list_count += 1


def _lowest_priority_left(node):
    lowest = _NONE
    for record in range(node.answer_count):
        priority = node.answer_priority[record]
        if node.answer_taken[record] == _LEFT and (lowest == _NONE or priority < lowest):
            lowest = priority
    return lowest


def _records_of(node, priority):
    records = 0
    for record in range(node.answer_count):
        if node.answer_priority[record] == priority:
            records += 1
    return records


def _some_priority_has_several(node):
    most = 0
    for record in range(node.answer_count):
        most = max(most, _records_of(node, node.answer_priority[record]))
    return most > 1


def _pick(node, how, priority, query_number):
    """One record of a priority, among those that are left."""
    if how == RFC2782:
        return running_sum_reaches(node, priority, draws.below(node.stream, _weight_left(node, priority) + 1))
    if how == MODULO:
        total = _weight_left(node, priority)
        return running_sum_reaches(node, priority, draws.below(node.stream, total) if total > 0 else 0)
    best, best_score = _NONE, _NONE
    for record in range(node.answer_count):
        if _is_left(node, record, priority):
            score = _score(node, how, record, query_number)
            if score > best_score:
                best, best_score = record, score
    return best


def _is_left(node, record, priority):
    return node.answer_taken[record] == _LEFT and node.answer_priority[record] == priority


def _weight_left(node, priority):
    total = 0
    for record in range(node.answer_count):
        if _is_left(node, record, priority):
            total += node.answer_weight[record]
    return total


def running_sum_reaches(node, priority, drawn):
    """The first record of a priority whose running sum of weights is at least `drawn`; weight 0 comes first."""
    total = 0
    for is_weighted in range(2):
        for record in range(node.answer_count):
            if _is_left(node, record, priority) and (node.answer_weight[record] > 0) == (is_weighted == 1):
                total += node.answer_weight[record]
                if total >= drawn:
                    return record
    return _NONE


def _score(node, how, record, query_number):
    weight = node.answer_weight[record]
    if how == HASH:
        return (hash_of(node.answer_host[record]) ^ node.hash_key) + weight
    if how == SCATTER:
        return query_number % (weight + 1)
    return 0


def hash_of(host):
    """12 bits that stand for libre's hash of the name of a host (names are the driver's)."""
    return ((host + 1) * 0x9E3779B1 >> 16) & (HASH_KEYS - 1)
