"""What the bits of guards and marks mean, and the properties that speak of them."""

from __future__ import annotations

from model.errors import UsageError
from model.explorer.failover.states import MAX_EPOCHS
from model.explorer.parts import Pattern, Property


class Bits:
    """What the bits of masks mean.

    Raises
    ------
    UsageError
        There are not enough of them.
    """

    def __init__(self, sentinels: int, epochs: int) -> None:
        self.n, self.epochs = sentinels, epochs
        single = sentinels * (2 * epochs + 4)
        if single + 5 > 62:
            raise UsageError(f"failovers of {sentinels} hosts can be explored for at most {epochs - 1} epochs")
        self.all_astray = ((1 << sentinels) - 1) << sentinels * 2 * epochs
        self.voted_twice, self.fell_back, self.at_bound, self.switched, self.hasty = (
            1 << single + bit for bit in range(5)
        )

    # guards: epochs from bit 0, configuration epochs, then hosts
    def configured(self, epoch: int) -> int:
        """A sentinel that can be heard has this configuration epoch, or a newer one."""
        return 1 << MAX_EPOCHS + 1 + epoch

    def _host(self, row: int, number: int) -> int:
        return 1 << 2 * MAX_EPOCHS + 3 + row * self.n + number

    def server_down(self, number: int) -> int:
        """The server answers nothing."""
        return self._host(0, number)

    def sentinel_down(self, number: int) -> int:
        """The sentinel does not run."""
        return self._host(1, number)

    def host_down(self, number: int) -> int:
        """The host is off."""
        return self._host(2, number)

    def cut(self, number: int) -> int:
        """The host hears nobody but itself."""
        return self._host(3, number)

    def killed(self, number: int) -> int:
        """The server does not run."""
        return self._host(4, number)

    def suspects(self, number: int, server: int) -> int:
        """The sentinel holds its primary for down."""
        return self._host(5 + number, server)

    # marks
    def _of(self, row: int, number: int) -> int:
        return 1 << row * self.n + number

    def led(self, epoch: int, number: int) -> int:
        """The sentinel was elected for this epoch."""
        return self._of(epoch - 1, number)

    def configures(self, epoch: int, number: int) -> int:
        """A configuration of this epoch names this server."""
        return self._of(self.epochs + epoch - 1, number) if epoch else 0

    def astray(self, number: int) -> int:
        """Somebody does not go along with this server as the one primary."""
        return self._of(2 * self.epochs, number)

    def lacks(self, number: int) -> int:
        """The server does not have the data."""
        return self._of(2 * self.epochs + 1, number)

    def writable(self, number: int) -> int:
        """The server runs as primary."""
        return self._of(2 * self.epochs + 2, number)

    def off(self, number: int) -> int:
        """The host is off, whatever its server was before."""
        return self._of(2 * self.epochs + 3, number)


def properties_of(bits: Bits, sentinels: int, epochs: int, restarts: bool) -> tuple[Property, ...]:
    numbers, some = range(sentinels), range(1, epochs + 1)
    pairs = [(one, other) for one in numbers for other in range(one)]
    settles = Property(
        "settles", "eventually", "after faults, one primary, all replicas on it, all sentinels agree",
        "Redis Sentinel documentation; deployment guide, failover scenario",
        tuple(Pattern(none_of=bits.astray(n)) for n in numbers),
    )  # fmt: skip
    return (
        Property("one-vote", "always", "a sentinel votes at most once in an epoch, over restarts, too",
                 "Redis Sentinel documentation, configuration epochs", (Pattern(all_of=bits.voted_twice),)),
        Property("quorum", "always", "an attempt starts only when a quorum holds the primary for down",
                 "Redis Sentinel documentation, SDOWN and ODOWN", (Pattern(all_of=bits.hasty),)),
        Property("one-leader", "always", "an epoch has at most one leader",
                 "Redis Sentinel documentation, configuration epochs",
                 tuple(Pattern(all_of=bits.led(e, a) | bits.led(e, b)) for e in some for a, b in pairs)),
        Property("one-primary-per-configuration", "always", "a configuration epoch names one primary",
                 "Redis Sentinel documentation, configuration propagation",
                 tuple(Pattern(all_of=bits.configures(e, a) | bits.configures(e, b)) for e in some for a, b in pairs)),
        Property("data-survives", "always", "what all servers had before the faults, the primary has when all agree",
                 "deployment guide, failover scenario",
                 tuple(Pattern(all_of=bits.lacks(n), none_of=bits.astray(n)) for n in numbers)),
        *([settles] if restarts else []),
        Property("accepts-writes", "eventually", "after faults, some server accepts writes", "deployment guide",
                 tuple(Pattern(all_of=bits.writable(n), none_of=bits.off(n)) for n in numbers)),
        Property("fails-over", "sometimes", "a failover takes place", "deployment guide",
                 (Pattern(all_of=bits.switched),)),
        Property("two-writable", "sometimes", "two servers accept writes", "deployment guide is silent",
                 tuple(Pattern(all_of=bits.writable(a) | bits.writable(b), none_of=bits.off(a) | bits.off(b))
                       for a, b in pairs)),
        Property("configuration-grows", "always", "the configuration epoch of a sentinel never goes back",
                 "sentinel.c, sentinelProcessHelloMessage", (Pattern(all_of=bits.fell_back),)),
    )  # fmt: skip
