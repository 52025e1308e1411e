"""What every benchmark run records beside its timings."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numba
import pytest

LIBRARIES = (
    "keras-maskdef",
    "numpy",
    "numba",
    "numba-cuda",
    "scipy",
    "opencv-python-headless",
    "scikit-image",
    "adversarial-robustness-toolbox",
    "tensorflow",
    "keras",
    "cupy-cuda13x",
)


def installed(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        ran = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except OSError:
        return None
    return ran.stdout.strip() or None


def opencv_threads() -> int | None:
    try:
        import cv2
    except ImportError:
        return None
    return cv2.getNumThreads()


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    machine_info["maskdef"] = {
        "commit": commit(),
        "device": cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": numba.config.NUMBA_NUM_THREADS,
        "opencv_threads": opencv_threads(),
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in LIBRARIES if installed(name)},
    }
