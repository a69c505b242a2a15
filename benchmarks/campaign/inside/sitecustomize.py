"""Imported by every Python process of a run, before anything else: frequent snapshots, a log of training steps, another clock.

All is asked for in the environment. CAMPAIGN_LOG: a file that gets one line per training step: process, key of the step,
seconds of the monotonic clock. CAMPAIGN_EVERY: seconds between snapshots. CAMPAIGN_CLOCK: seconds by which the clock is wrong.
CAMPAIGN_JUMP: when, on the monotonic clock, that begins (at once).
"""

import datetime
import os
import time


def move_clock(seconds: float, since: float) -> None:
    """What Python code sees of the wall clock moves by so many seconds, from that moment on; the machine's clock stays."""
    clock, now = time.time, datetime.datetime.now

    def error() -> float:
        return seconds if time.monotonic() >= since else 0.0

    class Moved(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(now(datetime.UTC).timestamp() + error(), tz)

    time.time = lambda: clock() + error()
    time.time_ns = lambda: round(time.time() * 1e9)
    datetime.datetime = Moved


def watch(log: str, every: float) -> None:
    """Snapshots every so many seconds; a line for each training step."""
    from capbench.pipeline import snapshots

    due = snapshots.Snapshots.due

    def told(self: snapshots.Snapshots) -> bool:
        with open(log, "a") as file:  # one short write to the end of the file: processes do not mix
            file.write(f"{os.getpid()} {self._key} {time.monotonic()}\n")
        return due(self)

    snapshots.EVERY, snapshots.Snapshots.due = every, told


if (seconds := float(os.environ.get("CAMPAIGN_CLOCK", 0))) != 0:
    move_clock(seconds, float(os.environ.get("CAMPAIGN_JUMP", 0)))
if "CAMPAIGN_LOG" in os.environ:
    watch(os.environ["CAMPAIGN_LOG"], float(os.environ["CAMPAIGN_EVERY"]))
