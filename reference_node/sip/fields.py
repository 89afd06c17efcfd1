"""Values of SIP header fields, kept as they were written.

A registrar stores and gives back what phones wrote. `sipmessage` reads values into Python objects that print
differently: it resolves escapes and puts others in (``+sip.instance`` comes out as ``%2Bsip.instance``), splits at
semicolons within quotes, knows no URI headers, and refuses host names that end in a digit (``phone7``). So this
module takes values apart without changing a byte: split outside of quotes and brackets, and put together again.

Left out: comments in parentheses, and all checking of what this kit does not use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Parameters = tuple[tuple[str, str | None], ...]
"""Names and raw values in order; None for a parameter without value."""

URI = re.compile(
    r"(?P<scheme>[sS][iI][pP][sS]?):"
    r"(?:(?P<user>[^@:\s<>\"]+)(?::(?P<password>[^@\s<>\"]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;[^;?\s<>\"]+)*)"
    r"(?:\?(?P<headers>[^\s<>\"]*))?",
    re.ASCII,
)
"""A SIP URI, RFC 3261 section 25.1, with host and parameters as lenient as the phones in the field."""

_KEPT_URIS = 2_048
"""URIs taken apart that are kept: those of one request come up several times, some of them in every request.
Kind: assumed (16 MB if all were as long as a head may be)."""

_PIECES = {
    separator: re.compile(rf'(?:[^"<{separator}]++|"(?:[^"\\]++|\\.)*+"|<[^>]*+>)*+', re.DOTALL) for separator in ",;"
}
"""Up to a separator outside of quotes and brackets; possessive, so that no text takes more than one pass."""

_DISPLAY = re.compile(r'"(?:[^"\\]|\\.)*"|[^"<>,;:@\\]*')
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")


@lru_cache(maxsize=_KEPT_URIS)
def match_uri(uri: str) -> re.Match[str] | None:
    """A SIP URI taken apart, see `URI`; None for anything else."""
    return URI.fullmatch(uri)


def split(text: str, separator: str) -> list[str]:
    """Split at a character where it stands outside of quotes and angle brackets; parts are stripped.

    Raises
    ------
    ValueError
        A quote or a bracket stays open.
    """
    if '"' not in text and "<" not in text:
        return [part.strip(" \t") for part in text.split(separator)]
    piece, parts, at = _PIECES[separator], [], 0
    while True:
        end = piece.match(text, at).end()  # type: ignore[union-attr]  # it matches the empty string, too
        parts.append(text[at:end].strip(" \t"))
        if end == len(text):
            return parts
        if text[end] != separator:
            raise ValueError(f"no closing {text[end]}")
        at = end + 1


def read_parameters(parts: list[str]) -> Parameters:
    """Parameters from the parts between semicolons.

    Raises
    ------
    ValueError
        A part is empty or has no name.
    """
    parameters = []
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.rstrip(" \t")
        if not name:
            raise ValueError("parameter without name")
        parameters.append((name, value.lstrip(" \t") if equals else None))
    return tuple(parameters)


def write_parameters(parameters: Parameters) -> str:
    """Parameters as they stand in a message, each with its leading semicolon."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters)


def find(parameters: Parameters, name: str) -> str | None:
    """Raw value of the first parameter of that name (names ignore case), "" when it has none, None when absent."""
    name = name.lower()
    for key, value in parameters:
        if key.lower() == name:
            return value or ""
    return None


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A value of From, To, Contact or Path.

    Attributes
    ----------
    display : str
        Display name as written, quotes included; empty when there is none.
    uri : str
        The URI without angle brackets.
    parameters : Parameters
        Header parameters.
    """

    display: str
    uri: str
    parameters: Parameters = ()

    @classmethod
    def read(cls, text: str) -> NameAddr:
        """Take a single value apart; `ValueError` when it is none."""
        first, *rest = split(text, ";")
        if first.endswith(">"):
            display, _, uri = first[:-1].rpartition("<")
            display = display.rstrip(" \t")
        else:
            # Without brackets, what follows the first semicolon belongs to the header (RFC 3261 section 20).
            display, uri = "", first
            if "?" in uri:  # URI headers need brackets, too: whose are they else?
                raise ValueError("not a SIP address")
        if match_uri(uri) is None or (display and _DISPLAY.fullmatch(display) is None):
            raise ValueError("not a SIP address")
        return cls(display, uri, read_parameters(rest))

    def __str__(self) -> str:
        space = " " if self.display else ""
        return f"{self.display}{space}<{self.uri}>{write_parameters(self.parameters)}"

    def parameter(self, name: str) -> str | None:
        """Raw value of a header parameter, see `find`."""
        return find(self.parameters, name)


@lru_cache(maxsize=_KEPT_URIS)
def uri_parameters(uri: str) -> Parameters:
    """Parameters of a URI."""
    match = match_uri(uri)
    return read_parameters(match["parameters"].split(";")[1:]) if match and match["parameters"] else ()


def uri_without_headers(uri: str) -> str:
    """The URI up to its question mark."""
    match = match_uri(uri)
    return uri[: match.end("parameters")] if match else uri


def without_parameters(uri: str, names: Sequence[str]) -> str:
    """The URI without some of its parameters."""
    if ";" not in uri:
        return uri
    drop = {name.lower() for name in names}
    parameters = uri_parameters(uri)
    kept = tuple(pair for pair in parameters if pair[0].lower() not in drop)
    return uri if kept == parameters else uri.removesuffix(write_parameters(parameters)) + write_parameters(kept)


def address_of_record(uri: str) -> str:
    """``user@host`` of a URI, or the host alone: without scheme, port and parameters.

    Escapes of characters that need none are resolved and host names are lower-cased, so that equal addresses
    (RFC 3261 section 19.1.4) have one record.
    """
    match = match_uri(uri)
    assert match, "an address of record is taken from checked URIs only"
    host = match["host"].lower()
    return f"{_canonical(match['user'])}@{host}" if match["user"] else host


def same_uri(one: str, other: str) -> bool:
    """True when two URIs are equal by RFC 3261 section 19.1.4 (URI headers are not looked at)."""
    a, b = match_uri(one), URI.fullmatch(other)
    if a is None or b is None or _where(a) != _where(b):
        return False
    left, right = ({name.lower(): value for name, value in uri_parameters(uri)} for uri in (one, other))
    for name in left.keys() | right.keys():
        if name in left and name in right:
            if (left[name] or "").lower() != (right[name] or "").lower():
                return False
        elif name in ("user", "ttl", "method", "maddr", "transport"):
            return False
    return True


def _where(match: re.Match[str]) -> tuple[str, ...]:
    user, password = (_canonical(match[part] or "") for part in ("user", "password"))
    return match["scheme"].lower(), user, password, match["host"].lower(), match["port"] or ""


def _canonical(text: str) -> str:
    """Resolve escapes of characters that need none; write the others in upper case."""

    if "%" not in text:
        return text

    def resolve(match: re.Match[str]) -> str:
        code = int(match[1], 16)
        return chr(code) if code in _UNRESERVED else match[0].upper()

    return re.sub(r"%([0-9A-Fa-f]{2})", resolve, text)
