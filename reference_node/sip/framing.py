"""Where SIP messages begin and end in a stream (RFC 3261 section 18.3), without a socket.

A message is its head, an empty line, and as many bytes as its Content-Length says; over a stream that header is
mandatory, since nothing else marks the end. Between messages there may be line ends; two of them in a row are a
keep-alive (RFC 5626 section 4.4.1).

A stream that breaks these rules cannot be read on: the only way out is to close it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reference_node.sip.message import MAX_BYTES, MAX_HEAD_BYTES

PING = b"\r\n\r\n"
"""The keep-alive of a client. Source: RFC 5626 section 4.4.1. Kind: specified."""

PONG = b"\r\n"
"""Its answer. Source: RFC 5626 section 4.4.1. Kind: specified."""

_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(?:\r\n[ \t]+)?([^\r\n]*)", re.IGNORECASE)
_NUMBER = re.compile(rb"[0-9]{1,9}[ \t]*")


class Unframed(Exception):
    """A stream that cannot be read on.

    Parameters
    ----------
    status : int
        SIP status of the last answer, if one can be given.
    why : str
    head : bytes
        Head of the message that broke the rules, as far as it came.
    """

    def __init__(self, status: int, why: str, head: bytes) -> None:
        super().__init__(why)
        self.status, self.why, self.head = status, why, head


class Framer:
    """Cuts a stream into messages.

    Parameters
    ----------
    is_client : bool
        Whether line ends between messages are what a client gets (`PONG`) or what a node gets (`PING`).
    """

    def __init__(self, *, is_client: bool = False) -> None:
        self._is_client = is_client
        self._buffer = bytearray()
        self._searched = 0
        self._wanted = 0

    @property
    def is_inside(self) -> bool:
        """True when a message has begun and is not whole yet."""
        return bool(self._buffer.strip(b"\r\n"))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what arrived; give the messages that are whole now, and `PING` (or `PONG`) for a keep-alive.

        Raises
        ------
        Unframed
            No further message can be told from what is around it.
        """
        self._buffer += data
        while message := self._next():
            yield message

    def _next(self) -> bytes | None:
        buffer = self._buffer
        while buffer[:2] == PONG:
            if self._is_client:
                del buffer[:2]
                return PONG
            if buffer[:4] == PING:
                del buffer[:4]
                return PING
            if len(buffer) < 4 and PING.startswith(bytes(buffer)):
                return None
            del buffer[:2]
        if not self._wanted:
            end = buffer.find(b"\r\n\r\n", self._searched)
            if end < 0 or end > MAX_HEAD_BYTES:
                if len(buffer) > MAX_HEAD_BYTES:
                    raise Unframed(513, "headers too long", bytes(buffer[:MAX_HEAD_BYTES]))
                self._searched = max(0, len(buffer) - 3)
                return None
            self._wanted = end + 4 + self._body_length(bytes(buffer[:end]))
        if len(buffer) < self._wanted:
            return None
        message = bytes(buffer[: self._wanted])
        del buffer[: self._wanted]
        self._wanted = self._searched = 0
        return message

    def _body_length(self, head: bytes) -> int:
        lengths = set(_LENGTH.findall(head))
        if len(lengths) != 1:
            raise Unframed(400, "needs one Content-Length", head)
        (text,) = lengths
        if _NUMBER.fullmatch(text) is None:
            raise Unframed(400, "Content-Length is no number", head)
        length = int(text)
        if len(head) + 4 + length > MAX_BYTES:
            raise Unframed(513, "message too long", head)
        return length
