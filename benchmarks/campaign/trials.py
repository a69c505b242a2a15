"""The trials: what is done to a run, and what is wrong afterwards. Each ends with a run in which nothing is done."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from campaign.outcome import Outcome, finished, left, made_again, repeated, steps
from campaign.runs import SUITE, Ended, Place, Run

YEAR = 365 * 24 * 3600.0


class NotAllowedError(Exception):
    """Why this machine does not allow a trial."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """wrong: a line for each thing that is wrong. where: what the run was doing. repeated: training steps done twice."""

    wrong: list[str]
    where: str = ""
    repeated: int = 0


@dataclass
class Campaign:
    """What the trials share: folders, the undisturbed run, chance."""

    folder: Path
    rng: random.Random
    killed: list[Path] = field(default_factory=list)  # caches that a killed run left, with snapshots
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.suite = self.folder / "suite"
        shutil.copytree(SUITE, self.suite, ignore=shutil.ignore_patterns("__pycache__"))
        self.undisturbed = self.place()
        self.first = self.undisturbed.run()
        self.expected = Outcome.of(self.undisturbed, self.first)
        self.needed = steps(self.first.trained)
        if self.first.code != 0 or not self.needed or not self.expected.results:
            raise RuntimeError(f"the undisturbed run ended with exit code {self.first.code}:\n{self.first.out}")
        self.seconds = {1: self.first.seconds}  # of a run, by its number of jobs

    def place(self, disk: Path | None = None) -> Place:
        return Place(self.folder / f"place-{next(self._numbers)}", self.suite, disk=disk)

    def wrong(self, place: Place, again: Ended) -> list[str]:
        """What is wrong with the last run, and with what is there after it."""
        found = [] if again.code == 0 else [f"the run after it ended with exit code {again.code}"]
        found += [f"the run after it said: {again.trace}"] * bool(again.trace)
        return [*found, *self.expected.differences(Outcome.of(place, again)), *left(place)]


def kill(campaign: Campaign, *, group: bool = True, jobs: int = 1) -> Trial:
    """kill -9 at a random moment: of the whole process group, or of the main process alone."""
    if jobs not in campaign.seconds:
        campaign.seconds[jobs] = campaign.place().run(jobs=jobs).seconds
    for _ in range(10):
        place = campaign.place()
        run = place.start(jobs=jobs)
        late = run.ended_by(run.began + campaign.rng.uniform(0, campaign.seconds[jobs]))
        run.kill(group=group)
        first = run.end()
        if not late:
            break
    wrong = [f"the killed run said: {first.trace}"] * bool(first.trace)
    before = finished(place)
    if snapshots := list(place.cache.glob("partial/*/*.snapshot")):
        kept = campaign.folder / f"killed-{len(campaign.killed)}"
        if group and len(campaign.killed) < 10:
            shutil.copytree(place.cache, kept)
            campaign.killed.append(kept)
    again = place.run(jobs=jobs)
    twice = repeated(campaign.needed, first, again)
    wrong += [f"{key}: {n} training steps repeated, {may} may be" for key, (n, may) in twice.items() if n > may]
    wrong += [*made_again(before, place), *campaign.wrong(place, again), *_still_there(run)]
    done = steps(first.trained).total()
    where = "starting" if not done else "training" if done < campaign.needed.total() else "measuring and reporting"
    return Trial(
        wrong=wrong,
        where=f"{where}, with snapshots" if snapshots else where,
        repeated=sum(n for n, _ in twice.values()),
    )


def _still_there(run: Run) -> list[str]:
    """Its processes must be gone by now; they are given a moment."""
    for _ in range(100):
        if not run.others():
            return []
        time.sleep(0.1)
    return [f"{len(run.others())} processes of the killed run are still there"]


def flip(campaign: Campaign) -> Trial:
    """One bit of a file is flipped, in a finished cache or in one that a killed run left."""
    rng = campaign.rng
    unfinished = bool(campaign.killed) and rng.random() < 0.5
    place = campaign.place()
    shutil.copytree(rng.choice(campaign.killed) if unfinished else campaign.undisturbed.cache, place.cache)
    before = finished(place)
    file = rng.choice(sorted(path for path in place.cache.rglob("*") if path.is_file() and path.stat().st_size))
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    again = place.run()
    wrong = campaign.wrong(place, again)
    if "damaged" not in again.out:
        wrong.append(f"nothing was said about the damaged {file.relative_to(place.cache)}")
    wrong += made_again(before, place, damaged=file.parent.name)
    return Trial(wrong=wrong, where="a snapshot" if file.suffix == ".snapshot" else file.name)


def together(campaign: Campaign, number: int = 8) -> Trial:
    """Several runs begin at once on one empty cache."""
    place = campaign.place()
    ended = [run.end() for run in [place.start() for _ in range(number)]]
    wrong = [line for one in ended for line in campaign.wrong(place, one)]
    done = steps(step for one in ended for step in one.trained)
    wrong += [
        f"{key}: {n} training steps done, {campaign.needed[key]} needed" for key, n in (done - campaign.needed).items()
    ]
    return Trial(wrong=wrong)


def full(campaign: Campaign, *, free: float | None = None) -> Trial:
    """The disk has room for a part of the cache and the report only. free: this share of what is needed (random)."""
    with _disk(campaign.folder / "disk", _size(campaign.undisturbed)) as (disk, need):
        place = campaign.place(disk)
        share = campaign.rng.random() if free is None else free
        ballast = disk / "ballast"
        room = os.statvfs(disk)
        ballast.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - round(share * need))))
        first = place.run()
        wrong = [f"the run on a full disk said: {first.trace}"] * bool(first.trace)
        if first.code == 0:
            wrong += campaign.expected.differences(Outcome.of(place, first))
        elif first.code not in (1, 2, 4) or "No space left on device" not in first.out:
            wrong.append(f"the run on a full disk ended with exit code {first.code}: {first.out[-300:]}")
        ballast.unlink()
        before = finished(place)
        again = place.run()
        wrong += [*made_again(before, place), *campaign.wrong(place, again)]
        twice = repeated(campaign.needed, first, again)
        return Trial(wrong=wrong, where=f"exit code {first.code}", repeated=sum(n for n, _ in twice.values()))


def _size(place: Place) -> int:
    """Bytes of its cache and reports on a disk with pages of 4 KiB."""
    files = [path for folder in (place.cache, place.reports) for path in folder.rglob("*") if path.is_file()]
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in files)


@contextmanager
def _disk(folder: Path, need: int) -> Iterator[tuple[Path, int]]:
    """A small disk in memory. Raises NotAllowedError where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={3 * need + (1 << 20)}", "tmpfs", str(folder)]
    try:
        try:
            subprocess.run(mount, capture_output=True, text=True, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            why = getattr(error, "stderr", "") or str(error)
            raise NotAllowedError(f"no tmpfs can be mounted: {why.strip()}") from None
        try:
            yield folder, need
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()


def clock(campaign: Campaign) -> Trial:
    """A run is killed; the next one begins when the clock has been set back by up to two years: all files are from the future."""
    place = campaign.place()
    run = place.start()
    run.ended_by(run.began + campaign.rng.uniform(0.3, 0.9) * campaign.seconds[1])
    run.kill()
    first, before = run.end(), finished(place)
    back = campaign.rng.uniform(0, 2 * YEAR)
    again = place.run(fresh=True, environment={"CAMPAIGN_CLOCK": str(-back)})
    wrong = [*made_again(before, place), *campaign.wrong(place, again)]
    twice = repeated(campaign.needed, first, again)
    wrong += [f"{key}: {n} training steps repeated, {may} may be" for key, (n, may) in twice.items() if n > may]
    return Trial(wrong=wrong, repeated=sum(n for n, _ in twice.values()))


def jump(campaign: Campaign) -> Trial:
    """The clock is set back by up to a day in the middle of a run."""
    place = campaign.place()
    at = time.monotonic() + campaign.rng.uniform(0.3, 1.5) * campaign.seconds[1]
    back = campaign.rng.uniform(0, 24 * 3600)
    again = place.run(fresh=True, environment={"CAMPAIGN_CLOCK": str(-back), "CAMPAIGN_JUMP": str(at)})
    return Trial(wrong=campaign.wrong(place, again))


# What is tried, how often (a share of --trials), and how
KINDS: dict[str, tuple[float, Callable[[Campaign], Trial]]] = {
    "kill -9 of all processes": (0.95, kill),
    "kill -9 of all processes, 2 workers": (0.05, lambda campaign: kill(campaign, jobs=2)),
    "kill -9 of the main process alone, 2 workers": (0.05, lambda campaign: kill(campaign, group=False, jobs=2)),
    "a flipped bit in the cache": (1, flip),
    "8 runs at once on one empty cache": (0.02, together),
    "a disk that is full from the start": (0.01, lambda campaign: full(campaign, free=0)),
    "a disk that becomes full": (0.1, full),
    "clock set back between two runs": (0.03, clock),
    "clock set back during a run": (0.03, jump),
}
