"""Registrations as Flexisip stores them (docs/node.md), and what a REGISTER changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reference_node.node.bindings import (
    MAX_CONTACTS_BY_AOR,
    Binding,
    Change,
    Refused,
    Registration,
    change_set,
    commands,
    contact_header,
    decode,
    decode_record,
    encode,
    key,
    live,
)
from reference_node.sip.fields import NameAddr

NOW_S = 1_700_000_000
UUID = '"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'


def contact(text: str) -> NameAddr:
    return NameAddr.read(text)


def register(*contacts: str, **values) -> Registration:
    defaults = {"aor": "bob@example.org", "call_id": "c1@phone", "cseq": 5, "path": ("sip:10.0.0.1;lr",)}
    return Registration(contacts=tuple(map(contact, contacts)), **{**defaults, **values})


def stored(field: str, uri: str = "sip:bob@10.0.0.9", **values) -> Binding:
    defaults = {"call_id": "c0", "cseq": 1, "expires_s": 600, "updated_s": NOW_S - 10}
    return Binding(field=field, contact=NameAddr("", uri), **{**defaults, **values})


def apply(record: list[Binding], request: Registration) -> Change:
    return change_set(record, request, NOW_S, lambda: "fs-gen-new")


# The format.


def test_a_contact_is_written_with_its_parameters_in_flexisips_order_and_escapes():
    binding = Binding(
        field=UUID,
        contact=contact(f'"Bob, B" <sip:bob@192.0.2.7:5062;transport=udp>;+sip.instance={UUID};q=0.5'),
        call_id="a=b@host",
        cseq=12,
        expires_s=1800,
        updated_s=NOW_S,
        path=("sip:10.0.0.1:5060;transport=udp;lr", "sip:edge@10.0.0.2"),
        accept="application/sdp,text/plain",
        user_agent='Phone/1.0 (é; "x")',
    )
    assert encode(binding) == (
        b'"Bob, B" <sip:bob@192.0.2.7:5062;transport=udp;callid=a%3Db%40host;expires=1800;cseq=12;'
        b"updatedAt=1700000000;alias=no;usedAsRoute=no"
        b"?path=%3Csip%3A10.0.0.1%3A5060%3Btransport%3Dudp%3Blr%3E%2C%3Csip%3Aedge@10.0.0.2%3E"
        b"&accept=application/sdp%2Ctext/plain&user-agent=Phone/1.0%20(%C3%A9%3B%20%22x%22)>"
        b';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";q=0.5;pub-gruu'
    )


def test_accept_and_user_agent_are_written_even_when_empty():
    assert b"&accept=&user-agent=>" in encode(stored("f"))


def test_a_contact_written_by_flexisip_is_read_whole():
    binding = decode(
        b'"<urn:uuid:1>"',
        b"<sip:carol@192.0.2.8:40000;transport=tls;fs-conn-id=ab12;callid=x%40y;expires=900;cseq=3;updatedAt=1700000000;"
        b"alias=yes;usedAsRoute=no?path=%3Csip%3A10.0.0.1%3A5059%3Btransport%3Dtcp%3E&accept=text/plain&user-agent=A%20B>"
        b';+sip.instance="<urn:uuid:1>";pub-gruu="sip:carol@example.org;gr=urn:uuid:1"',
    )
    assert binding == Binding(
        field='"<urn:uuid:1>"',
        contact=contact('<sip:carol@192.0.2.8:40000;transport=tls;fs-conn-id=ab12>;+sip.instance="<urn:uuid:1>"'),
        call_id="x@y",
        cseq=3,
        expires_s=900,
        updated_s=1_700_000_000,
        path=("sip:10.0.0.1:5059;transport=tcp",),
        accept="text/plain",
        user_agent="A B",
        is_alias=True,
    )


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"mailto:a@b", b"<sip:a@b", b'"<sip:a@b>', b"\x00", b"<>"])
def test_what_is_no_contact_is_skipped(value: bytes):
    assert decode(b"f", value) is None


def test_missing_and_unreadable_numbers_are_zero_so_that_the_contact_has_expired():
    binding = decode(b"f", b"<sip:a@b;expires=soon;cseq=-1>")
    assert binding
    assert (binding.expires_s, binding.cseq, binding.updated_s) == (0, 0, 0)
    assert live([binding], NOW_S) == ()


def test_the_expires_of_the_header_wins_over_that_of_the_uri():
    binding = decode(b"f", b"<sip:a@b;expires=100;updatedAt=5>;expires=200")
    assert binding and binding.expires_s == 200


def test_a_bare_uri_is_read_as_a_contact():
    binding = decode(b"f", b"sip:a@b;callid=c;expires=100;cseq=2;updatedAt=5?path=%3Csip%3Ap%3E")
    assert binding
    assert (binding.contact, binding.call_id, binding.expires_s, binding.path) == (
        NameAddr("", "sip:a@b"), "c", 100, ("sip:p",),
    )  # fmt: skip


def test_paths_without_brackets_are_read_as_flexisip_1_wrote_them():
    binding = decode(b"f", b"<sip:a@b;expires=1?path=sip%3Ap1%2Csip%3Ap2>")
    assert binding and binding.path == ("sip:p1", "sip:p2")


def test_an_ampersand_in_the_user_agent_survives_our_own_reader():
    binding = replace(stored("f"), user_agent="Q&A phone")
    assert decode(b"f", encode(binding)) == binding


@pytest.mark.parametrize("character", [chr(code) for code in range(0x20, 0x7F)])
def test_a_call_id_may_hold_any_character(character: str):
    binding = stored("f", call_id=f"a{character}b")
    assert decode(b"f", encode(binding)) == binding


def test_a_user_part_that_looks_like_a_path_stays_a_user_part():
    binding = stored("f", "sip:a?path=b&accept=c@h", path=("sip:p",), accept="text/plain")
    assert decode(b"f", encode(binding)) == binding


def test_a_client_cannot_pass_off_parameters_as_the_registrars():
    change = apply([], register("<sip:bob@h;callid=forged;updatedAt=9999999999;fs-conn-id=1;ob?path=x>;pub-gruu=y"))
    (binding,) = change.stored
    assert binding.contact == NameAddr("", "sip:bob@h;ob")


def test_a_message_expires_keeps_the_entry_but_not_the_registration():
    kept = decode(b"f", f"<sip:a@b;expires=60;updatedAt={NOW_S}>;message-expires=600".encode())
    not_first = decode(b"f", f"<sip:a@b;expires=60;updatedAt={NOW_S}>;q=1;message-expires=600".encode())
    assert kept and not_first
    assert (kept.sip_end_s - NOW_S, kept.end_s - NOW_S) == (60, 600)
    assert not_first.end_s - NOW_S == 60


def test_unreadable_entries_of_a_record_are_left_out():
    assert [binding.field for binding in decode_record([b"a", b"?", b"b", encode(stored("b"))])] == ["b"]


# What a REGISTER changes.


def test_the_field_is_the_instance_with_its_quotes_and_brackets():
    assert [binding.field for binding in apply([], register(f"<sip:bob@h>;+sip.instance={UUID}")).stored] == [UUID]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("<sip:b@h;pn-tok=T>;line=L", "T"),
        ("<sip:b@h>;line=L", "L"),
        ("<sip:b@h;line=U>;line=L", "L"),
        (f"<sip:b@h;pn-tok=T>;+SIP.Instance={UUID}", UUID),
        ("<sip:b@h>", "fs-gen-new"),
    ],
)
def test_the_device_is_named_by_the_first_unique_id_parameter(text: str, field: str):
    assert [binding.field for binding in apply([], register(text)).stored] == [field]


def test_the_same_device_takes_the_place_of_its_old_contact():
    change = apply([stored(UUID), stored("other")], register(f"<sip:bob@new>;+sip.instance={UUID}"))
    assert change.removed == ()
    assert [binding.contact.uri for binding in change.stored] == ["sip:bob@new"]
    assert sorted(binding.field for binding in change.remaining) == sorted([UUID, "other"])


def test_expired_contacts_are_removed_when_somebody_binds():
    change = apply([stored("dead", updated_s=NOW_S - 600), stored("live")], register("<sip:bob@h>;line=me"))
    assert change.removed == ("dead",)


def test_a_contact_with_expires_0_is_removed_and_the_rest_stays():
    change = apply([stored("me"), stored("other")], register("<sip:bob@h>;line=me;expires=0"))
    assert (change.removed, change.stored) == (("me",), ())
    assert change.expire_at_s == NOW_S - 10 + 600


def test_the_last_word_on_a_device_within_one_register_counts():
    change = apply([stored("me")], register("<sip:bob@h>;line=me", "<sip:bob@h>;line=me;expires=0"))
    assert (change.removed, change.stored, change.remaining) == (("me",), (), ())


def test_expires_0_of_an_unknown_contact_changes_nothing():
    change = apply([], register("<sip:bob@h>", expires_s=0))
    assert (change.removed, change.stored, change.expire_at_s) == ((), (), 0)


def test_a_device_without_id_is_known_by_its_uri_and_keeps_its_field():
    record = [stored("fs-gen-old", "sip:bob@10.0.0.9;fs-conn-id=77")]
    change = apply(record, register("<sip:bob@10.0.0.9>"))
    assert [binding.field for binding in change.stored] == ["fs-gen-old"]


def test_a_replayed_cseq_is_refused_with_400():
    record = [stored("fs-gen-old", call_id="c1@phone", cseq=5)]
    with pytest.raises(Refused) as refused:
        apply(record, register("<sip:bob@10.0.0.9>", cseq=5))
    assert refused.value.status == 400
    assert apply(record, register("<sip:bob@10.0.0.9>", cseq=6)).stored
    assert apply(record, register("<sip:bob@10.0.0.9>", call_id="another", cseq=1)).stored


def test_of_a_device_with_unique_id_the_latest_register_to_come_counts_whatever_its_cseq_and_flow():
    """As in Flexisip: what a stopped node has kept takes the place of what came through another one since."""
    device = '+sip.instance="<urn:uuid:1>"'
    first = register(f"<sip:bob@10.0.0.9:4001>;{device};reg-id=1", cseq=6)
    (kept,) = apply([], first).remaining
    late = register(f"<sip:bob@10.0.0.9:4002>;{device};reg-id=2", cseq=5)
    (kept,) = apply([kept], late).remaining
    assert (kept.cseq, kept.contact.uri) == (5, "sip:bob@10.0.0.9:4002")


def test_the_same_push_token_replaces_a_contact_under_another_field():
    push = ";pn-provider=fcm;pn-prid=p;pn-param=q"
    change = apply([stored("before", f"sip:bob@old{push}")], register(f"<sip:bob@new{push}>;line=after"))
    assert change.removed == ("before",)
    assert [binding.field for binding in change.remaining] == ["after"]


def test_the_oldest_contacts_go_when_there_are_too_many():
    record = [stored(f"d{n}", updated_s=NOW_S - 100 + n) for n in range(MAX_CONTACTS_BY_AOR)]
    change = apply(record, register("<sip:bob@h>;line=me"))
    assert change.removed == ("d0",)
    assert len(change.remaining) == MAX_CONTACTS_BY_AOR


def test_too_many_contacts_in_one_register_are_refused_with_403():
    with pytest.raises(Refused) as refused:
        apply([], register(*(f"<sip:bob@h>;line={n}" for n in range(13))))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("header_s", "parameter", "granted_s"),
    [
        (None, "", 600),
        (3600, "", 3600),
        (5, "", 60),
        (999_999, "", 86_400),
        (0, "", 0),
        (3600, ";expires=5", 5),
        (3600, ";expires=999999", 999_999),
        (3600, ";expires=0", 0),
        (60, ";expires=soon", 3600),
        (60, ";expires", 3600),
        (60, ";expires=99999999999", 3600),
    ],
)
def test_the_header_is_clamped_and_the_contacts_own_expires_is_not(header_s, parameter, granted_s):
    request = register(f"<sip:bob@h>{parameter}", expires_s=header_s)
    assert request.lifetime_s(request.contacts[0]) == granted_s


# What Redis is told.


def test_a_change_is_one_transaction_that_ends_with_the_largest_end():
    record = [stored("dead", updated_s=0), stored("longest", expires_s=5_000)]
    batch = commands("bob@example.org", apply(record, register("<sip:bob@h>;line=me", expires_s=60)))
    assert [command[0] for command in batch] == [b"MULTI", b"HDEL", b"HMSET", b"EXPIREAT", b"EXEC"]
    assert batch[1][1:] == (key("bob@example.org"), b"dead")
    assert batch[2][1:3] == (b"fs:bob@example.org", b"me")
    assert batch[3][1:] == (b"fs:bob@example.org", str(NOW_S - 10 + 5_000).encode())


def test_the_last_contact_leaves_with_expireat_0():
    batch = commands("bob@example.org", apply([stored("me")], register("<sip:bob@h>;line=me;expires=0")))
    assert [command[0] for command in batch] == [b"MULTI", b"HDEL", b"EXPIREAT", b"EXEC"]
    assert batch[2][-1] == b"0"


def test_contact_star_deletes_the_record():
    change = apply([stored("me")], register(clears=True))
    assert commands("bob@example.org", change) == [(b"DEL", b"fs:bob@example.org")]
    assert change.remaining == ()


def test_redis_may_be_told_a_time_to_live_in_place_of_an_instant():
    change = apply([], register("<sip:bob@h>;line=me", expires_s=60))
    instant = commands("bob@example.org", change)
    lifetime = commands("bob@example.org", change, NOW_S)
    assert (b"EXPIREAT", b"fs:bob@example.org", str(NOW_S + 60).encode()) in instant
    assert (b"EXPIRE", b"fs:bob@example.org", b"60") in lifetime


def test_the_answer_tells_the_seconds_that_are_left():
    binding = replace(stored("f", expires_s=100), contact=contact("Bob <sip:b@h>;expires=100;q=0.1"))
    assert contact_header(binding, NOW_S) == "Bob <sip:b@h>;expires=90;q=0.1"
