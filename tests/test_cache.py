"""What is compiled is kept in a directory that is safe, read only if nobody else can have written it, and bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ratelimitd import cache, trial
from ratelimitd.policy import load_text
from ratelimitd.settings import cache_candidates

POLICY = (
    "version: 1\ndomain: d\nscan: {mode: block, rules: [{id: a, pattern: 'kept-[0-9]+', targets: args, score: 5}]}\n"
)


def test_who_says_off_or_a_directory_is_heard(tmp_path: Path) -> None:
    assert cache.choose("off", (str(tmp_path),)) == (None, [])
    assert cache.choose("/some/where", (str(tmp_path),)) == ("/some/where", [])


def test_the_first_candidate_that_is_ours_alone_is_taken(tmp_path: Path) -> None:
    open_to_all, file, new = tmp_path / "open", tmp_path / "file", tmp_path / "a" / "new"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    file.touch()
    link = tmp_path / "link"
    link.symlink_to(open_to_all)
    found, faults = cache.choose("auto", [str(path) for path in (open_to_all, file, link, file / "below", new)])
    assert (found, faults) == (str(new), [])
    assert not new.exists(), "nothing is made before something is kept"
    new.mkdir(parents=True)
    assert cache.choose("auto", [str(new)]) == (str(new), [])
    (tmp_path / "good").symlink_to(new)
    assert cache.choose("auto", [str(tmp_path / "good")])[0] == str(tmp_path / "good")
    found, faults = cache.choose("auto", [str(open_to_all), str(file), str(link), str(file / "below")])
    assert found is None
    assert [fault.rpartition(": ")[2] for fault in faults] == [
        "others may write to it", "it is no directory", "others may write to it", "not a directory",
    ]  # fmt: skip
    assert cache.choose("auto", ()) == (None, ["there is no home directory"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_belongs_to_others_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    assert cache.unusable(tmp_path) == "it belongs to somebody else"
    os.chown(tmp_path, 0, -1)
    path = tmp_path / "x.hsdb"
    cache.write(path, b"data")
    os.chown(path, 12345, -1)
    assert cache.read(path) is None


def test_candidates() -> None:
    user = cache_candidates({"HOME": "/home/ada"})
    assert set(user) == {"/home/ada/.cache/ratelimitd", "/var/cache/ratelimitd"}
    assert set(cache_candidates({"HOME": "/home/ada", "XDG_CACHE_HOME": "/x"})) == {
        "/x/ratelimitd", "/var/cache/ratelimitd",
    }  # fmt: skip
    assert cache_candidates({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b", "HOME": "/h"})[0] == "/var/cache/a"
    assert cache_candidates({"HOME": "relative", "XDG_CACHE_HOME": "too"}) == ("/var/cache/ratelimitd",)


def test_a_file_is_for_us_alone_and_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.hsdb"
    cache.write(path, b"data")
    assert cache.read(path) == b"data"
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert [entry.name for entry in path.parent.iterdir()] == ["x.hsdb"]


def test_what_others_may_have_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.hsdb"
    cache.write(path, b"data")
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        assert cache.read(path) is None
    path.chmod(0o644)
    assert cache.read(path) == b"data"
    link, pipe = tmp_path / "link.hsdb", tmp_path / "pipe.hsdb"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    assert [cache.read(p) for p in (link, pipe, tmp_path, tmp_path / "none")] == [None] * 4


def test_writing_where_nobody_can_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache.write(tmp_path / "file" / "x.hsdb", b"data")
    cache.write(Path("/proc/x.hsdb"), b"data")
    assert cache.prune(str(tmp_path / "file")) == cache.prune("/proc/none") == cache.prune(None) == 0


def test_old_and_too_many_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 25)
    now = 1_800_000_000.0
    ages = {"a.hsdb": 40 * 86400, "b.hsdb": 300, "c.plan": 200, "d.hsdb": 100, ".new-x": 50 * 86400, "readme": 1 << 30}
    for name, age in ages.items():
        (tmp_path / name).write_bytes(b"0123456789")
        os.utime(tmp_path / name, (now - age, now - age))
    assert cache.prune(str(tmp_path), now) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"c.plan", "d.hsdb", "readme"}


def test_a_use_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "x.hsdb"
    cache.write(path, b"data")
    os.utime(path, (0, 0))
    cache.read(path)
    assert path.stat().st_mtime > 1_000_000_000


def test_databases_are_kept_and_those_of_others_compiled_anew(tmp_path: Path) -> None:
    plan = load_text(POLICY).plan
    trial.built(plan, str(tmp_path))
    kept = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    assert {path.suffix for path in kept} == {".hsdb", ".plan"}
    trial.built(plan, str(tmp_path))
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == kept, "nothing was written again"
    for path in kept:
        path.chmod(0o666)
    trial.built(plan, str(tmp_path))
    assert all(path.stat().st_ino != inode and path.stat().st_mode & 0o777 == 0o600 for path, inode in kept.items())
