"""Gaussian-process engine on plain arrays."""
