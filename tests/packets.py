"""Packet headers, made up: four kinds of traffic."""

import csv
import pathlib

import numpy as np

import syndata_jax

SCHEMA = (
  pathlib.Path(syndata_jax.__file__).parent / "configs/tables/packets.json"
)


def packets(path: pathlib.Path, count: int, seed: int) -> pathlib.Path:
  """Writes so many of them as a table."""
  draw = np.random.default_rng(seed)
  rows = [_KINDS[kind](draw) for kind in draw.choice(list(_KINDS), count)]
  with path.open("w", newline="") as stream:
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
  return path


def _row(protocol, flags, source, destination, length, gap, traffic):
  return {
    "traffic": traffic,
    "protocol": protocol,
    "flags": flags,
    "source_port": source,
    "destination_port": destination,
    "length": length,
    "inter_arrival": f"{np.clip(gap, 1e-6, 60):.6g}",
  }


def _web(draw):
  flags = draw.choice(["S", "A", "PA", "FA"], p=(0.1, 0.4, 0.45, 0.05))
  length = 44 if flags == "S" else int(draw.integers(40, 1501))
  port = draw.choice(["443", "80"], p=(0.8, 0.2))
  source = int(draw.integers(32768, 61000))
  gap = draw.lognormal(-6, 1)
  return _row("tcp", flags, source, port, length, gap, "web")


def _names(draw):
  source, length = int(draw.integers(1024, 65536)), int(draw.integers(60, 300))
  gap = draw.lognormal(-2, 1)
  return _row("udp", "none", source, "53", length, gap, "names")


def _scan(draw):
  port = draw.choice(["22", "25", "3389", "8080", "other"])
  source = int(draw.integers(40000, 50000))
  return _row("tcp", "S", source, port, 40, draw.lognormal(-9, 0.3), "scan")


def _ping(draw):
  gap = draw.normal(1, 0.01)
  return _row("icmp", "none", 0, "none", 84, gap, "ping")


_KINDS = {"web": _web, "names": _names, "scan": _scan, "ping": _ping}
