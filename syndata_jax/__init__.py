"""Worst-case privacy audits of training on synthetic data, in JAX."""
