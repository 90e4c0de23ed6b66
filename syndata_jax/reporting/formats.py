"""Numbers as a person reads them."""


def percent(fraction: float) -> str:
  """A share as a percentage, rounded without claiming certainty.

  Two decimals below 10%, one above: the step of a TPR over some thousand
  scores. `0.00%` and `100.0%` mean exactly none and all; what would merely
  round to them is written `<0.01%` and `>99.9%`.

  Args:
    fraction: from 0 to 1.
  """
  text = f"{fraction:.2%}" if fraction < 0.09995 else f"{fraction:.1%}"
  if text == "0.00%" and fraction > 0:
    return "<0.01%"
  if text == "100.0%" and fraction < 1:
    return ">99.9%"
  return text


def level(fraction: float) -> str:
  """A round share, such as a false positive rate, in its shortest form."""
  return f"{100 * fraction:.4g}%"


def duration(seconds: float) -> str:
  """A time in its two largest units: `4.2 s`, `12 min 05 s`, `1 h 15 min`."""
  if seconds < 9.95:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  if not minutes:
    return f"{rest} s"
  if minutes < 60:
    return f"{minutes} min {rest:02} s"
  hours, minutes = divmod(round(seconds / 60), 60)
  return f"{hours} h {minutes:02} min"


def accelerator_time(hours: float) -> str:
  """Accelerator hours, or minutes and seconds when it is less than one."""
  if hours < 1:
    return f"{duration(3600 * hours)} of accelerator time"
  return f"{hours:.2f} accelerator hours"


def throughput(images_per_second: float) -> str:
  """Images per second to the last whole one; one decimal below ten."""
  decimals = 1 if images_per_second < 9.95 else 0
  return f"{images_per_second:,.{decimals}f} images/s"


def counted(count: int, noun: str) -> str:
  """`1 view`, `8,000 members`."""
  return f"{count:,} {noun}{'' if count == 1 else 's'}"


def memory(size: float) -> str:
  """Bytes in the smallest unit that takes three digits: `512 B`, `4.66 GiB`."""
  for unit in ("B", "KiB", "MiB", "GiB"):
    if size < 999.5:
      return f"{size:.3g} {unit}"
    size /= 1024
  return f"{size:,.3g} TiB"


def operations(flops: float) -> str:
  """Floating-point operations as a power of ten: `1.07e18`."""
  return f"{flops:.3g}".replace("e+", "e")


def significant(value: float) -> str:
  """Three significant digits: `0.123`, `12.0`, `1,230`."""
  if value >= 99.95:
    digits = len(str(int(value))) - 3
    return f"{round(value, -digits):,.0f}"
  return f"{value:#.3g}"
