"""Simulated two-condition data with known truth, for examples, tests and benchmarks."""

from kompot.datasets.settings import SimulationSettings
from kompot.datasets.simulate import simulate

__all__ = ["SimulationSettings", "simulate"]
