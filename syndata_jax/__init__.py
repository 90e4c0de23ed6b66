"""Worst-case privacy audits of training on synthetic data, in JAX."""

__version__ = "0.1.0"
