"""Worst-case privacy audits of training on synthetic data, in JAX."""

__version__ = "0.2.0"
