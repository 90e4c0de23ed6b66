"""What a benchmark ran on: a number without its machine means nothing."""

import datetime
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any

import jax

from syndata_jax.benchmarks.harness.peak import measured

_PACKAGES = (
  "syndata_jax",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "numpy",
  "scipy",
  "torch",
)


def describe(command: str) -> dict[str, Any]:
  """Device, driver, versions, date and command, ready for JSON.

  `load` is the average number of other programs that were computing during
  the last minute, None where the system does not tell: above some tenths, the
  timings are not those of a quiet machine. `matmul_flops` is what utilisation
  is measured against on a CPU, None on accelerators: see `peak.measured`.
  """
  devices = jax.local_devices()
  accelerator = devices[0].platform != "cpu"
  return {
    "device": devices[0].device_kind if accelerator else _processor(),
    "devices": len(devices),
    "backend": jax.default_backend(),
    "driver": _driver() if devices[0].platform == "gpu" else None,
    "processor": _processor(),
    "cores": os.cpu_count(),
    "matmul_flops": None if accelerator else measured(),
    "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    "system": platform.platform(),
    "python": platform.python_version(),
    "versions": {name: _version(name) for name in _PACKAGES},
    "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
    "command": command,
  }


def _processor() -> str:
  """The processor's name, as the system calls it."""
  information = pathlib.Path("/proc/cpuinfo")
  if information.exists():
    for line in information.read_text(encoding="utf-8").splitlines():
      if line.startswith("model name"):
        return line.partition(":")[2].strip()
  return platform.processor() or platform.machine()


def _driver() -> str | None:
  """The version of NVIDIA's driver, None for other makers."""
  query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
  try:
    answer = subprocess.run(query, capture_output=True, text=True, timeout=30)
  except (OSError, subprocess.TimeoutExpired):
    return None
  return next(iter(answer.stdout.splitlines()), None)


def _version(package: str) -> str | None:
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:
    return None
