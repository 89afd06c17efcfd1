"""From a path of the explorer to a run of real servers, and back: steered scenarios and how often they go that way."""

from study.steering.patterns import Mark, Pattern, share
from study.steering.search import steer
from study.steering.translate import Room, scenario_of

__all__ = ["Mark", "Pattern", "Room", "scenario_of", "share", "steer"]
