"""Digest authentication: only the right password, only once, only for one's own address of record."""

from __future__ import annotations

import hashlib

import pytest

from reference_node.sip.digest import Digest, Secrets, may_write, read_credentials, read_users

NOW_S = 1_700_000_000
ALGORITHMS = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@pytest.fixture
def digest() -> Digest:
    users = {"alice@example.org": Secrets.of_password("alice", "example.org", "wonder")}
    return Digest("example.org", users, ["SHA-256", "MD5"], nonce_s=60)


def nonce(digest: Digest, now_s: int = NOW_S) -> str:
    challenge = read_credentials(digest.challenges(now_s)[0])
    assert challenge
    return challenge["nonce"]


def answer(given: str, algorithm: str = "SHA-256", password: str = "wonder", nc: str = "00000001", **changes) -> str:
    def hashed(text: str) -> str:
        return ALGORITHMS[algorithm](text.encode()).hexdigest()

    first = hashed(f"alice:example.org:{password}")
    response = hashed(f"{first}:{given}:{nc}:cn:auth:{hashed('REGISTER:sip:example.org')}")
    values = {
        "username": '"alice"', "realm": '"example.org"', "nonce": f'"{given}"', "uri": '"sip:example.org"',
        "response": f'"{response}"', "algorithm": algorithm, "qop": "auth", "nc": nc, "cnonce": '"cn"', **changes,
    }  # fmt: skip
    return "Digest " + ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def test_sha_256_is_offered_before_md5(digest):
    """RFC 8760 section 2.3."""
    first, second = digest.challenges(NOW_S)
    assert "algorithm=SHA-256" in first and "algorithm=MD5" in second and "stale" not in first


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_the_right_password_is_taken_once(digest, algorithm):
    credentials = answer(nonce(digest), algorithm)
    assert digest.check([credentials], "REGISTER", NOW_S + 1).user == "alice@example.org"
    again = digest.check([credentials], "REGISTER", NOW_S + 1)
    assert (again.user, again.is_stale) == ("", True)


def test_a_nonce_serves_again_with_the_next_count(digest):
    given = nonce(digest)
    assert digest.check([answer(given, nc="00000001")], "REGISTER", NOW_S).user
    assert digest.check([answer(given, nc="00000002")], "REGISTER", NOW_S).user
    assert not digest.check([answer(given, nc="00000002")], "REGISTER", NOW_S).user


def test_an_old_nonce_is_stale(digest):
    verdict = digest.check([answer(nonce(digest))], "REGISTER", NOW_S + 61)
    assert (verdict.user, verdict.is_stale) == ("", True)


@pytest.mark.parametrize(
    "credentials",
    [
        [],
        ["NoOneKnowsThisScheme opaque-data=here"],
        ["Digest"],
        ['Digest username="'],
        ["Digest realm=example.org, realm=example.org"],
        [answer("0" * 60)],
        [answer("x")],
    ],
)
def test_nothing_else_is_taken(digest, credentials):
    verdict = digest.check(credentials, "REGISTER", NOW_S)
    assert (verdict.user, verdict.is_stale) == ("", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "Wonder"},
        {"username": '"bob"'},
        {"realm": '"example.net"'},
        {"uri": '"sip:other"'},
        {"qop": None},
        {"qop": "auth-int"},
        {"algorithm": "SHA-256-sess"},
        {"cnonce": '"x"'},
        {"nc": "1"},
        {"response": '""'},
        {"response": '"é"'},
    ],
)
def test_any_change_to_the_credentials_is_noticed(digest, changes):
    if changes.get("algorithm") == "SHA-256-sess":
        credentials = answer(nonce(digest)).replace("algorithm=SHA-256", "algorithm=SHA-256-sess")
    else:
        credentials = answer(nonce(digest), **changes)
    assert digest.check([credentials], "REGISTER", NOW_S).user == ""


def test_the_method_is_part_of_the_answer(digest):
    assert digest.check([answer(nonce(digest))], "INVITE", NOW_S).user == ""


def test_an_algorithm_that_is_not_offered_is_not_taken():
    users = {"alice@example.org": Secrets.of_password("alice", "example.org", "wonder")}
    strict = Digest("example.org", users, ["SHA-256"])
    assert strict.check([answer(nonce(strict), "MD5")], "REGISTER", NOW_S).user == ""


def test_a_nonce_of_another_process_is_none_of_ours(digest):
    other = Digest("example.org", {}, ["SHA-256"])
    assert digest.check([answer(nonce(other))], "REGISTER", NOW_S).user == ""


def test_a_user_may_write_his_own_record_only():
    assert may_write("alice@Example.org", "sip:alice@example.org;transport=tcp")
    assert not may_write("alice@example.org", "sip:bob@example.org")
    assert not may_write("alice@example.org", "sip:Alice@example.org")
    assert not may_write("alice@example.net", "sip:alice@example.org")


def test_a_file_of_users_is_read():
    ha1 = hashlib.md5(b"bob:example.org:pw").hexdigest()
    users = read_users(
        f"version:1\n\n# comment\nalice@example.org clrtxt:wonder ;\nbob@example.org md5:{ha1}\n", "example.org"
    )
    assert users["alice@example.org"] == Secrets.of_password("alice", "example.org", "wonder")
    assert users["bob@example.org"].by_algorithm == {"MD5": ha1}


@pytest.mark.parametrize("line", ["alice clrtxt:hunter2", "alice@h", "alice@h md5:hunter2", "a@h hunter2"])
def test_a_wrong_line_is_named_by_its_number_and_not_repeated(line):
    with pytest.raises(ValueError, match="line 2") as error:
        read_users("version:1\n" + line, "h")
    assert "hunter2" not in str(error.value)
