"""Files that are written whole: the content before or the new one, nothing left beside it, durable before it has its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capbench.store.files import remove_drafts, write_whole


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_whole(file, "één\r\ntwo\n")
    assert file.read_bytes() == "één\r\ntwo\n".encode()
    write_whole(file, b"\x00\xff")
    assert file.read_bytes() == b"\x00\xff" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_whatever_fails_leaves_the_file_before_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(file := tmp_path / "a", "before")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_whole(file, "after")
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]


def test_content_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int | str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (fsync(fd), done.append(os.fstat(fd).st_ino)))
    monkeypatch.setattr(os, "replace", lambda a, b: (replace(a, b), done.append("named")))
    write_whole(file := tmp_path / "a", "content")
    assert done == [file.stat().st_ino, "named", tmp_path.stat().st_ino]


def test_drafts_of_a_run_that_was_killed_go_and_other_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [tmp_path / name for name in ("a", ".a", "a.0123abcd.draft", ".a.draft", ".a.0123abcd.tmp")]
    for file in kept:
        file.touch()
    with monkeypatch.context() as patched:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(os, "replace", killed)
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path / "a", "b")
    assert len(list(tmp_path.iterdir())) == len(kept) + 1
    remove_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    remove_drafts(tmp_path / "nowhere")
