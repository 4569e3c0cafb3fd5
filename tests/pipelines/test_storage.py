import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.errors import StoreError


def test_put_if_absent_has_one_winner_among_sixteen(tmp_path: Path) -> None:
    target = tmp_path / "manifest.json"
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: storage.put_if_absent(target, b"%d" % i), range(16)))
    assert sum(won) == 1
    assert target.read_bytes() == b"%d" % won.index(True)
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with storage.durable_file(tmp_path / "part") as handle:
            handle.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_unknown_scheme_names_what_is_allowed() -> None:
    with pytest.raises(StoreError, match=r"found the scheme 'gopher://'.*local disks.*Use a path"):
        storage.store_root("gopher://corpus")


def test_store_root_is_relative_to_the_given_folder(tmp_path: Path) -> None:
    assert storage.store_root("./artifacts", relative_to=tmp_path) == tmp_path / "artifacts"
    assert storage.store_root(f"file://{tmp_path}/a") == tmp_path / "a"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root; a full disk cannot be made here")
    return folder


@pytest.fixture(autouse=True)
def _unmount(tmp_path: Path) -> object:
    yield
    subprocess.run(["umount", str(tmp_path / "disk")], capture_output=True, check=False)


def test_full_disk_says_what_to_do_and_leaves_no_file(tiny_disk: Path) -> None:
    def fill() -> None:
        with storage.durable_file(tiny_disk / "part") as handle:
            handle.write(os.urandom(1 << 20))

    with pytest.raises(StoreError, match=r"no space left.*Free some space.*shards are kept"):
        fill()
    assert list(tiny_disk.iterdir()) == []


def test_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (3 << 20))
    (tmp_path / "b").write_bytes(b"x" * (3 << 20))
    (tmp_path / "c").write_bytes(b"x" * (3 << 20) + b"y")
    hashes = [storage.hash_file(tmp_path / name) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]
