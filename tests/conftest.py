"""Settings that every test shares.

Eight fake CPU devices, so that splitting models over devices is tested
everywhere, and a compiler in a hurry: most of a small test is compilation.
"""

import os

_FLAGS = (
  "--xla_force_host_platform_device_count=8",
  "--xla_backend_optimization_level=0",
  "--xla_llvm_disable_expensive_passes=true",
)
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_FLAGS])
os.environ.setdefault("JAX_PLATFORMS", "cpu")
