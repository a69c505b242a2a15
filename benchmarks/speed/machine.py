"""The machine in words: enough to interpret figures, and nothing that names its owner."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from capbench.pipeline.cores import available_cores

CPUINFO = Path("/proc/cpuinfo")
_VECTORS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}  # widest first


def machine(*, gpu: str = "") -> dict[str, Any]:
    """CPU, its vector instructions, cores that may be used, Python, torch, date (UTC), commit; the GPU where there is one."""
    return {
        "cpu": _field("model name", CPUINFO) or platform.machine(),
        "vectors": vectors(),
        "cores": available_cores(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
    }


def vectors(cpuinfo: Path = CPUINFO) -> str:
    """The widest vector instructions that matter for matrix products; empty if the kernel lists none."""
    flags = set(_field("flags", cpuinfo).split())
    return next((shown for name, shown in _VECTORS.items() if name in flags), "")


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware."""
    return vectors() in ("AMX", "AVX-512 BF16")


def commit() -> str:
    """The checkout's commit, with a + where the code differs from it; empty outside of one."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "capbench", "benchmarks")
        return _git("rev-parse", "--short", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*words: str) -> str:
    root = Path(__file__).parents[2]
    return subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()


def _field(name: str, cpuinfo: Path) -> str:
    """The first processor's entry in /proc/cpuinfo."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
