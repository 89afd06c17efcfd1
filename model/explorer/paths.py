"""A way through the states of a model, for whoever shows, draws or replays it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message that is delivered in a step.

    Attributes
    ----------
    source, to : str
        Actors.
    label : str
        What it says, in a few words: ``vote for sentinel 1 in epoch 2?``.
    """

    source: str
    to: str
    label: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path.

    Attributes
    ----------
    actor : str
        Who acts, or what the fault happens to.
    kind : str
        Kind of the step, a word of its model: ``act``, ``ask``, ``crash``.
    text : str
        What happens, in words; a sentence without its full stop.
    exchanges : tuple of Exchange
        Messages that are delivered, in order; empty for a step that concerns only its actor.
    notes : tuple of (str, str)
        What is true of an actor from here on and was not before: ("sentinel 1", "elected, epoch 1").
    """

    actor: str
    kind: str
    text: str
    exchanges: tuple[Exchange, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """The shortest way to where a property shows that it does not hold, or that it does.

    Attributes
    ----------
    model : str
        What was explored, with its bounds: ``election of 5 sentinels, quorum 3, up to 2 epochs``.
    sentence : str
        The property.
    verdict : str
        ``counterexample`` of an *always* or *eventually*, ``witness`` of a *sometimes*.
    actors : tuple of str
        Everybody, in the order in which they are drawn: ``sentinel 1``, ``server 1``, ``network``.
    steps : tuple of Step
    loop : int
        For an *eventually*: number of the first step of the part that goes round for ever; -1 if there is none.
    """

    model: str
    sentence: str
    verdict: Literal["counterexample", "witness"]
    actors: tuple[str, ...]
    steps: tuple[Step, ...]
    loop: int = -1
