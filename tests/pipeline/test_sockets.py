"""Processes have their sockets where the folder for temporary files has a path that no socket can have."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from capbench.errors import UsageError
from capbench.pipeline import sockets

ROOT = Path(__file__).parents[2]
LONG = "long" * 30
PROGRAM = """
import multiprocessing, multiprocessing.connection, sys, tempfile
from capbench.pipeline.sockets import make_room
if __name__ == "__main__":
    make_room()
    process = multiprocessing.get_context("forkserver").Process(target=print, args=("made",), kwargs={"flush": True})
    process.start()
    process.join()
    with multiprocessing.connection.Listener(family="AF_UNIX") as listener:
        print(listener.address)
    print(tempfile.gettempdir())
"""


def test_processes_start_however_long_tmpdir_is(tmp_path: Path) -> None:
    folder = tmp_path / LONG
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, address, others = done.stdout.split()
    assert made == "made"
    assert len(address) < 104 and not Path(address).parent.exists()  # removed at the end
    assert others == str(folder)  # other files stay where they belong
    assert list(folder.iterdir()) == []


def test_the_usual_folder_is_used_where_it_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert sockets.folder(30) == "/tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / LONG))
    monkeypatch.setattr(sockets, "_OTHERS", ("/proc/none", "/"))
    if os.access("/", os.W_OK):
        assert sockets.folder(30) == "/"


def test_where_no_folder_can_be_used_one_line_says_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / LONG))
    monkeypatch.setattr(sockets, "_OTHERS", ())
    with pytest.raises(UsageError) as caught:
        sockets.folder(33)
    message = str(caught.value)
    assert message.startswith(f"TMPDIR={tmp_path / LONG}: too long for a socket's path") and "\n" not in message
    assert message.endswith("give one of at most 70")
