"""The errors a user can meet, one class a family.

::

    HastudyError
    ├── ScenarioError      the scenario is wrong               exit 2
    ├── UsageError         the command line is wrong           exit 2
    ├── TraceError         a trace cannot be read              exit 2
    └── EnvironmentLacks   this machine lacks something        exit 4

A contradiction inside our own code is none of these: it is an assertion.
"""

from __future__ import annotations


class HastudyError(Exception):
    """Base of all errors that are shown to a user without a traceback."""

    exit_code = 2


class UsageError(HastudyError):
    """The command line asks for something that does not exist."""


class TraceError(HastudyError):
    """A trace file cannot be read."""


class EnvironmentLacks(HastudyError):
    """This machine lacks something that was asked for: a server, a right, a kernel feature."""

    exit_code = 4


class ScenarioError(HastudyError):
    """A scenario is wrong.

    Parameters
    ----------
    where : str
        File (or ``--set``) in which the fault lies.
    key : str
        Dotted path of the value, for example ``sentinel.quorum``.
    given : str
        What was found there.
    allowed : str
        What may stand there.
    hint : str
        What to do next.
    """

    def __init__(self, where: str, key: str, given: str, allowed: str, hint: str) -> None:
        self.where, self.key, self.given, self.allowed, self.hint = where, key, given, allowed, hint
        super().__init__(f"{where}: {key} is {given}" if key else f"{where}: {given}")

    def __str__(self) -> str:
        head = super().__str__()
        return f"{head}\n  allowed: {self.allowed}\n\nhint: {self.hint}"
