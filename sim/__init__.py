"""Virtual time: the simulated world (SimPy), the batch engine (compiled), network, faults, sweeps."""

from sim.runs import simulate

__all__ = ["simulate"]
