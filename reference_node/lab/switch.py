"""A switch in user space: delay, jitter, random loss and splits on the ways between hosts, without ``tc netem``.

A process of its own, child of the worker and in its namespaces. It reads each host's frames from the switch's end of
the host's cable (a packet socket) and writes them to the receivers' ends when they are due::

    python -m reference_node.lab.switch SEED CARD...        ports are numbered in the order of the cards

Each line of standard input is an order in JSON; it is carried out and then answered with one line, so who has the
answer knows that the order is in force. Keys, all optional, each with a list of entries:

=========  ========================================================================
``ways``   ``[from, to, delay_us, jitter_us, loss_percent]``, ports by number
``sides``  ``[port, side]``; ports on one side reach each other
``plugs``  ``[port, true or false]``; cable in or out
=========  ========================================================================

``"forget": true`` starts the answer's ``late_us`` (most that a frame left later than it was due) from 0.

* A frame is due its delay after the *kernel* took it in, so a switch that wakes up late makes up for it.
* On one way nothing overtakes; the random part of a delay is uniform.
* A frame to all (address resolution) goes to each receiver by the law of that way, as does one to an address that was
  not seen yet.
* What is on its way when a cable is pulled or a split comes does not arrive.

Packet sockets and not TAP devices: those need ``/dev/net/tun``, which many machines keep for root.

Left out: bandwidth and queues, duplicates, reordering.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from reference_node.lab import kernel

OWN_US = 200
"""Time in µs from program to program that comes on top of what a frame is held: wake-ups of the receiver and of the
switch, and its work. It is taken off every delay. Kind: measured (docs/lab.md)."""

MAX_FRAME = 2048
"""Longest frame in bytes: an MTU of 1500 and the headers (`kernel.finish_checksums`). Kind: specified."""

QUEUE_BYTES = 4 << 20
"""Wanted queue of arrived frames at each port. Kind: assumed (a burst of 1700 full frames)."""

_ADDRESS = 6  # bytes; a frame starts with those of its receiver and of its sender
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33  # asm-generic/socket.h
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23  # linux/socket.h, linux/if_packet.h
_ETH_P_ALL = 3
_STAMP = struct.Struct("@ll")  # struct timespec


@dataclass(slots=True)
class Way:
    """From one port to another.

    Attributes
    ----------
    delay_us, jitter_us, loss_percent : int
        One-way delay and its random part, and how many frames are lost.
    last_us : int
        When the last frame is due.
    """

    delay_us: int = 0
    jitter_us: int = 0
    loss_percent: int = 0
    last_us: int = 0


class Switch:
    """Which frame goes where, and when; has no clock and no sockets.

    Parameters
    ----------
    ports : int
        How many.
    rng : random.Random
        Decides on losses and jitter.
    """

    def __init__(self, ports: int, rng: random.Random) -> None:
        self._ports, self._rng = range(ports), rng
        self._ways = {(source, to): Way() for source in self._ports for to in self._ports if source != to}
        self._side = [0] * ports
        self._plugged = [True] * ports
        self._port_of: dict[bytes, int] = {}
        self._queue: list[tuple[int, int, int, bytes]] = []
        self._taken = 0
        self.late_us = 0
        """Most that a frame left later than it was due."""

    def obey(self, order: Mapping) -> dict:
        """Carry out an order and return its answer; the module's head says what orders are."""
        for source, to, delay_us, jitter_us, loss_percent in order.get("ways", ()):
            way = self._ways[source, to]
            way.delay_us, way.jitter_us, way.loss_percent = delay_us, jitter_us, loss_percent
        for port, side in order.get("sides", ()):
            self._side[port] = side
        for port, plugged in order.get("plugs", ()):
            self._plugged[port] = plugged
        if order.get("forget"):
            self.late_us = 0
        return {"late_us": self.late_us}

    def take(self, source: int, frame: bytes, arrived_us: int) -> None:
        """Take in a frame that arrived at port `source`."""
        self._port_of[frame[_ADDRESS : 2 * _ADDRESS]] = source
        known = self._port_of.get(frame[:_ADDRESS])
        for to in self._ports if known is None else (known,):
            if to != source and self._connected(source, to):
                self._post(source, to, frame, arrived_us)

    def due(self, now_us: int) -> Iterator[tuple[int, bytes]]:
        """Yield the receiver's port and the frame of all that are due by `now_us`.

        What was under way when its sender fell off the network still arrives, as it does on a long line.
        """
        while self._queue and self._queue[0][0] <= now_us:
            due_us, _, to, frame = heapq.heappop(self._queue)
            self.late_us = max(self.late_us, now_us - due_us)
            if self._plugged[to]:
                yield to, frame

    @property
    def next_us(self) -> int | None:
        """When the next frame is due, None when none waits."""
        return self._queue[0][0] if self._queue else None

    def _connected(self, source: int, to: int) -> bool:
        return self._side[source] == self._side[to] and self._plugged[source] and self._plugged[to]

    def _post(self, source: int, to: int, frame: bytes, arrived_us: int) -> None:
        way = self._ways[source, to]
        if way.loss_percent and self._rng.randrange(100) < way.loss_percent:
            return
        delay_us = way.delay_us + (self._rng.randint(0, way.jitter_us) if way.jitter_us else 0)
        way.last_us = max(way.last_us, arrived_us + max(0, delay_us - OWN_US))
        self._taken += 1  # keeps the order of frames that are due at the same time
        heapq.heappush(self._queue, (way.last_us, self._taken, to, frame))


def serve(switch: Switch, ports: Sequence[socket.socket], orders: int, answers: int) -> None:
    """Forward frames and obey until nobody can give orders any more.

    Parameters
    ----------
    switch : Switch
    ports : sequence of socket
        Datagram sockets that stamp what arrives (`stamp_arrivals`); they must not block.
    orders, answers : int
        Descriptors to read orders from and to write answers to.
    """
    number = {port: index for index, port in enumerate(ports)}
    inputs, rest = [*ports, orders], b""
    while True:
        wait_s = None if switch.next_us is None else max(0, switch.next_us - _now_us()) / 1e6
        for ready in select.select(inputs, [], [], wait_s)[0]:
            if ready is not orders:
                _take(switch, number[ready], ready)
                continue
            data = os.read(orders, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                os.write(answers, json.dumps(switch.obey(json.loads(line))).encode() + b"\n")
        for to, frame in switch.due(_now_us()):
            with suppress(OSError):  # the receiver's queue is full: the frame is lost, as at any switch
                ports[to].send(frame)


def stamp_arrivals(port: socket.socket) -> None:
    """Have the kernel note when each frame arrives."""
    port.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    port.setblocking(False)


def _take(switch: Switch, number: int, port: socket.socket) -> None:
    frame, ((_, _, stamp), *_), _, _ = port.recvmsg(MAX_FRAME, socket.CMSG_SPACE(_STAMP.size))
    seconds, nanoseconds = _STAMP.unpack(stamp)
    # Stamps are of the wall clock, which may be set; their age is added to the clock that is never set.
    age_us = (time.time_ns() - seconds * 1_000_000_000 - nanoseconds) // 1000
    switch.take(number, frame, _now_us() - max(0, age_us))


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def _open_port(card: str) -> socket.socket:
    """All frames that arrive at `card`, and none that leave it."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    with suppress(PermissionError):  # older kernels let only root do so; the usual queue is long enough then
        port.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, QUEUE_BYTES)
    stamp_arrivals(port)
    port.bind((card, _ETH_P_ALL))
    return port


def main(argv: Sequence[str]) -> int:
    """Run the switch between the cards named after the seed."""
    seed, *cards = argv
    kernel.sharpen_timers()
    gc.disable()  # nothing here makes cycles, and a collection would make frames late
    serve(Switch(len(cards), random.Random(int(seed))), [_open_port(card) for card in cards], 0, 1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
