"""Files that are replaced whole or not at all, by writers that are killed, fail or come at once."""

import errno
import threading
from functools import partial
from pathlib import Path

import pytest

from crash_points import kill_at_each_write
from ssavae._serialize import (
    is_leftover,
    read_checked,
    read_together,
    sha256,
    sweep,
    write_atomically,
    write_together,
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write(folder: Path, text: str) -> None:
    """Two files of a text; the second names the first by its sha256."""
    first = text.encode() * 1000
    write_together(folder, "b", {"a": first, "b": f"{text} {sha256(first)}".encode()})


def named_files(folder: Path, content: list[bytes]) -> dict[Path, str]:
    """The file whose sha256 the second one holds."""
    return {folder / "a": content[1].decode()}


def read(folder: Path) -> str:
    text, checksum = (folder / "b").read_text().split()
    assert read_checked(folder / "a", checksum) == text.encode() * 1000
    return text


def test_a_file_is_the_old_or_the_new_one_wherever_its_write_is_killed(tmp_path):
    path = tmp_path / "file"
    seen = []
    for _ in kill_at_each_write(lambda: write_atomically(path, b"new")):
        seen.append(path.read_bytes() if path.exists() else b"")
        assert all(each == path or is_leftover(each) for each in tmp_path.iterdir())
    assert len(seen) > 3 and seen[0] == b"" and seen[-1] == b"new"
    assert set(seen) == {b"", b"new"}
    assert names(tmp_path) == {"file"}


def test_files_written_together_are_all_old_or_all_new_wherever_the_write_is_killed(tmp_path):
    write(tmp_path, "old")
    n_points = 0
    seen = set()
    for n_points in kill_at_each_write(lambda: write(tmp_path, "new")):  # noqa: B007
        seen.add(read(tmp_path))
        sweep(tmp_path)
        assert read(tmp_path) in seen  # sweeping removes nothing that is needed
        if read(tmp_path) == "new" and not any(map(is_leftover, tmp_path.iterdir())):
            write(tmp_path, "old")
        elif read(tmp_path) == "new":
            (tmp_path / "b").unlink()
            write(tmp_path, "old")
            assert names(tmp_path) == {"a", "b"}  # the leftovers are gone
    assert n_points > 8 and seen == {"old", "new"}


def test_files_of_another_document_keep_what_a_killed_write_left_for_them(tmp_path):
    for _ in kill_at_each_write(lambda: write(tmp_path, "new")):
        if (tmp_path / "b").exists():  # replaced, while "a" may still have its pending name
            write_together(tmp_path, "c", {"d": b"d", "c": sha256(b"d").encode()})
            assert read(tmp_path) == "new" and read_checked(tmp_path / "d", sha256(b"d")) == b"d"
            (tmp_path / "b").unlink()


def test_a_full_disk_is_reported_with_the_file_and_leaves_the_old_ones(tmp_path, monkeypatch):
    write(tmp_path, "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match=r"No space left: '.*\.a\..*'"):
        write(tmp_path, "new")
    with pytest.raises(OSError, match=r"No space left: '.*/b'"):
        write_atomically(tmp_path / "b", b"new")
    assert read(tmp_path) == "old" and names(tmp_path) == {"a", "b"}


def test_writers_and_readers_at_once_see_one_of_the_texts(tmp_path):
    texts = ["one", "two", "three", "four"]
    write(tmp_path, "one")
    seen: list[str] = []
    failed: list[BaseException] = []

    def guarded(action) -> None:
        try:
            action()
        except BaseException as error:
            failed.append(error)

    def write_often(text: str) -> None:
        for _ in range(10):
            write(tmp_path, text)

    writers = [threading.Thread(target=guarded, args=[lambda t=text: write_often(t)]) for text in texts]
    for thread in writers:
        thread.start()
    while any(thread.is_alive() for thread in writers):
        content, files = read_together(tmp_path / "b", bytes.split, partial(named_files, tmp_path))
        text, checksum = (each.decode() for each in content)
        seen.append(text)
        assert files == {tmp_path / "a": text.encode() * 1000} and checksum == sha256(text.encode() * 1000)
    for thread in writers:
        thread.join()
    assert failed == [] and set(seen) <= set(texts) and len(seen) > 0
    assert read(tmp_path) in texts and names(tmp_path) == {"a", "b"}


def test_a_write_between_two_reads_is_met_by_reading_again(tmp_path):
    write(tmp_path, "old")
    texts = iter(["new", "newer"])

    def checksums(content: list[bytes]) -> dict[Path, str]:
        for text in texts:  # twice in all: afterwards nobody writes
            write(tmp_path, text)
            break
        return named_files(tmp_path, content)

    content, files = read_together(tmp_path / "b", bytes.split, checksums)
    assert content[0] == b"newer" and files == {tmp_path / "a": b"newer" * 1000}
    (tmp_path / "a").write_bytes(b"damaged")
    assert read_together(tmp_path / "b", bytes.split, checksums)[1] == {tmp_path / "a": None}


def test_an_interrupted_file_of_another_process_is_swept(tmp_path):
    for n in kill_at_each_write(lambda: write_atomically(tmp_path / "file", b"new")):
        if n == 2:
            break
    assert any(map(is_leftover, tmp_path.iterdir()))
    sweep(tmp_path)
    assert names(tmp_path) == set()
