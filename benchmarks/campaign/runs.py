"""One run of the small suite, as `python -m pytest` would have it: started, killed, and what it left behind."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SUITE, INSIDE = HERE / "suite", HERE / "inside"
EVERY = 0.05  # seconds between snapshots
LIMIT = 300.0  # seconds after which a run hangs
_TRACE = re.compile(r"Traceback \(most recent|INTERNALERROR|Exception ignored in|^\S+\.py:\d+: \w*$")


@dataclass(frozen=True)
class Trained:
    """One training step that was done: of which step of the plan, and when (monotonic clock)."""

    key: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended. code: its exit code, negative for a signal; None if it hung and was killed."""

    code: int | None
    out: str
    trained: tuple[Trained, ...]
    seconds: float

    @property
    def trace(self) -> str:
        """The first line of a traceback, Python's or pytest's; empty if there is none."""
        return next((line for line in self.out.splitlines() if _TRACE.search(line)), "")


class Place:
    """The folder of one trial: cache, reports, temporary files. disk: where cache and reports are, if elsewhere.

    suite: the folder of the suite, one for all trials, as the key of a user's method has its path.
    """

    def __init__(self, folder: Path, suite: Path, *, disk: Path | None = None) -> None:
        self.folder, self.suite, self.temporary = folder, suite, folder / "tmp"
        self.disk = disk or folder
        self.cache, self.reports = self.disk / "cache", self.disk / "reports"
        self.temporary.mkdir(parents=True)
        self._number = 0

    def start(self, *, jobs: int = 1, fresh: bool = False, environment: Mapping[str, str] | None = None) -> Run:
        """Begin a run. fresh: in a new interpreter; else it is forked from this process, which has the libraries imported."""
        self._number += 1
        return Run(self, self.folder / f"run-{self._number}", jobs, fresh, dict(environment or {}))

    def run(self, **options: object) -> Ended:
        """A whole run."""
        return self.start(**options).end()  # type: ignore[arg-type]


class Run:
    """A run under way, in a process group of its own."""

    def __init__(self, place: Place, name: Path, jobs: int, fresh: bool, environment: dict[str, str]) -> None:
        self._log, self._out = name.with_suffix(".log"), name.with_suffix(".out")
        self._log.touch()
        self.began = time.monotonic()
        words = [
            "claims.py",
            "--capbench-scale=smoke",
            "--capbench-seeds=1",
            f"--capbench-jobs={jobs}",
            f"--capbench-cache={place.cache}",
            f"--capbench-report={place.reports}",
            "--capbench-method=full",
            "--capbench-method=mine.py:tune",
        ]
        environment |= {
            "CAMPAIGN_LOG": str(self._log),
            "CAMPAIGN_EVERY": str(EVERY),
            "TMPDIR": str(place.temporary),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(INSIDE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self._out.open("wb") as out:
            if fresh:
                command = [sys.executable, "-m", "pytest", *words]
                everything = {**os.environ, **environment}
                self.pid = subprocess.Popen(
                    command, cwd=place.suite, env=everything, stdout=out, stderr=out, start_new_session=True
                ).pid
            else:
                self.pid = os.fork()
                if self.pid == 0:
                    _become(place.suite, words, environment, out.fileno())

    def ended_by(self, moment: float) -> bool:
        """Wait until then, on the monotonic clock; whether the run came to its end before."""
        while time.monotonic() < moment:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return True
            time.sleep(0.002)
        return False

    def kill(self, *, group: bool = True) -> None:
        """kill -9: of the whole process group, or of the main process alone."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)

    def end(self) -> Ended:
        """Wait for its end; it is killed if it hangs."""
        in_time = self.ended_by(self.began + LIMIT)
        if not in_time:
            self.kill()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        seconds = time.monotonic() - self.began
        trained = []
        for line in self._log.read_text().splitlines():
            _, key, at = line.split()
            trained.append(Trained(key, float(at)))
        out = self._out.read_text(errors="replace")
        return Ended(code=code if in_time else None, out=out, trained=tuple(trained), seconds=seconds)

    def others(self) -> list[int]:
        """Processes of the run that are still there: of its session, or with its environment."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state, _, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
                ours = (
                    int(session) == self.pid or f"CAMPAIGN_LOG={self._log}".encode() in (path / "environ").read_bytes()
                )
                if ours and state != "Z":
                    found.append(int(path.name))
        return found


def imported() -> None:
    """Import what every run imports, before the first is forked: they are killed at work, not while they import."""
    import hypothesis  # noqa: F401
    import matplotlib.backends.backend_agg
    import matplotlib.figure
    import matplotlib.font_manager  # noqa: F401
    import pytest  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch._dynamo  # noqa: F401

    from capbench.store.code import remember_sources

    remember_sources()


def _become(folder: Path, words: list[str], environment: Mapping[str, str], out: int) -> None:
    """In a forked child: become `python -m pytest` in this folder. Does not return."""
    code: object = 99
    try:
        os.setsid()
        os.chdir(folder)
        os.environ |= environment
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream in (1, 2):
            os.dup2(out, stream)
        sys.argv, sys.path[0] = ["pytest", *words], str(folder)
        runpy.run_path(str(INSIDE / "sitecustomize.py"))
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
