"""What an exit code of the command line means."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum

from model.errors import HastudyError


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


def exit_code_of(work: Callable[[], ExitCode]) -> int:
    """Do the work of a program; its exit code. Errors that a user can meet become words on stderr."""
    try:
        code = work()
        sys.stdout.flush()
        return int(code)
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining while it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
