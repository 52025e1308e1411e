"""The most memory that this process has had. Linux only."""

from pathlib import Path


def peak() -> int:
    """MiB of this program alone.

    `getrusage` tells a child of what its parent had before it started another program:
    under a pytest of some GiB nothing would ever be above.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kib) >> 10
