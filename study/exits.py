"""What an exit code of the command line means."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Scripts and CI lean on these numbers."""

    OK = 0
    """It holds, agrees, or was done."""
    FINDING = 1
    """A violation or a disagreement."""
    USAGE = 2
    """Wrong use: command line, scenario or trace."""
    UNDECIDED = 3
    """Too few data."""
    ENVIRONMENT = 4
    """This machine lacks something."""
    INTERRUPTED = 130
    """Stopped by the user; what was done is kept."""


_GRAVITY = (ExitCode.INTERRUPTED, ExitCode.FINDING, ExitCode.USAGE, ExitCode.ENVIRONMENT, ExitCode.UNDECIDED)


def worst(codes: list[ExitCode]) -> ExitCode:
    """The one code for several results: a finding outweighs what could not be found out."""
    return next((code for code in _GRAVITY if code in codes), ExitCode.OK)
