"""Leases: one holder at a time, dead ones replaced at once, silent ones after one time to live."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.stopping import Stopped
from workflows import lease
from workflows.lease import Holder, Lease, Times, Waiting
from workflows.liveness import Process

QUICK = Times(beat=0.05, to_live=0.6, look=0.02)
ELSEWHERE = Process(host="another-host", machine="its boot", pid=4711, born=1)


def take(folder: Path, run_id: str = "run-1", times: Times = QUICK, **more: object) -> Lease | None:
    holder = Holder(run_id=run_id, process=Process.this())
    more.setdefault("is_published", lambda: False)
    return lease.acquire(folder, holder, times, **more)  # type: ignore[arg-type]


def held_by(folder: Path, process: Process, epoch: int = 1) -> None:
    payload = Holder(run_id="other", process=process).model_dump_json().encode()
    assert storage.put_if_absent(folder / "_lease" / f"e{epoch:04d}", payload)


def test_of_sixteen_that_try_one_holds_it(tmp_path: Path) -> None:
    stop = threading.Event()
    won: list[Lease] = []

    def attempt(number: int) -> None:
        try:
            got = take(
                tmp_path, f"run-{number}", Times(beat=0.05, to_live=60, look=0.02), stop=stop
            )
        except Stopped:
            return
        if got is not None:
            won.append(got)

    with ThreadPoolExecutor(16) as pool:
        tasks = [pool.submit(attempt, number) for number in range(16)]
        time.sleep(0.5)
        stop.set()
        for task in tasks:
            task.result()
    assert [one.epoch for one in won] == [1]
    won[0].release()


def test_a_released_lease_is_taken_at_once(tmp_path: Path) -> None:
    first = take(tmp_path)
    assert first is not None
    first.release()
    started = time.monotonic()
    second = take(tmp_path, times=Times(beat=1, to_live=60, look=5))
    assert second is not None
    assert second.epoch == 2
    assert time.monotonic() - started < 2
    second.release()


def test_a_holder_that_died_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    here = Process.this()
    born = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    held_by(tmp_path, here.model_copy(update={"pid": child.pid, "born": born}))
    patient = Times(beat=1, to_live=60, look=0.05)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        take(tmp_path, times=patient, stop=stop)
    child.kill()
    child.wait()
    second = take(tmp_path, times=patient)
    assert second is not None
    assert second.epoch == 2
    second.release()


def test_a_pid_in_its_second_life_is_not_its_first(tmp_path: Path) -> None:
    reborn = Process.this().model_copy(update={"born": 1})
    assert reborn.is_known_dead()
    assert not Process.this().is_known_dead()
    assert not ELSEWHERE.is_known_dead()


def test_a_silent_holder_elsewhere_is_replaced_after_one_time_to_live(tmp_path: Path) -> None:
    held_by(tmp_path, ELSEWHERE)
    started = time.monotonic()
    second = take(tmp_path)
    assert second is not None
    assert second.epoch == 2
    assert time.monotonic() - started >= QUICK.to_live
    second.release()


def test_clocks_do_not_matter(tmp_path: Path) -> None:
    """Files a year in the future or the past, as a host with another clock would write them."""
    for skew in (-3.15e7, 3.15e7):
        folder = tmp_path / str(skew)
        held_by(folder, ELSEWHERE)
        for path in (folder / "_lease").iterdir():
            os.utime(path, (time.time() + skew, time.time() + skew))
        beating = threading.Event()

        def beat(folder: Path = folder, beating: threading.Event = beating) -> None:
            number = 0
            while not beating.wait(0.1):
                number += 1
                beat = lease.Beat(number=number, progress={"done": number})
                storage.write_bytes(folder / "_lease/e0001.beat", beat.model_dump_json().encode())

        thread = threading.Thread(target=beat)
        thread.start()
        stop = threading.Event()
        threading.Timer(3 * QUICK.to_live, stop.set).start()
        seen: list[Waiting] = []
        with pytest.raises(Stopped):
            take(folder, waiting=seen.append, stop=stop)
        assert {one.holder.run_id for one in seen if one.holder} == {"other"}
        assert seen[-1].progress["done"] > 5
        beating.set()
        thread.join()
        taken = take(folder)
        assert taken is not None
        taken.release()


def test_the_loser_hears_of_its_successor_and_its_workers_see_it(tmp_path: Path) -> None:
    lost = threading.Event()
    first = take(tmp_path, on_lost=lost.set)
    assert first is not None
    assert first.sign.reason() is None
    held_by(tmp_path, ELSEWHERE, epoch=2)
    assert lost.wait(5)
    assert first.lost.is_set()
    assert first.sign.reason() == "another run took this stage over"


def test_who_waits_takes_the_other_ones_result(tmp_path: Path) -> None:
    first = take(tmp_path)
    assert first is not None
    published = threading.Event()
    threading.Timer(0.3, published.set).start()
    assert take(tmp_path, "run-2", is_published=published.is_set) is None
    assert lease.highest_epoch(tmp_path) == 1
    first.release()


def test_a_live_holder_keeps_its_lease_however_long_it_takes(tmp_path: Path) -> None:
    first = take(tmp_path)
    assert first is not None
    stop = threading.Event()
    threading.Timer(3 * QUICK.to_live, stop.set).start()
    with pytest.raises(Stopped):
        take(tmp_path, "run-2", stop=stop)
    assert not first.lost.is_set()
    first.release()


def test_a_request_to_stop_reaches_the_workers(tmp_path: Path) -> None:
    assert not lease.ask_to_stop(tmp_path)
    first = take(tmp_path)
    assert first is not None
    assert lease.ask_to_stop(tmp_path)
    assert first.sign.reason() == "it was asked to stop"
    first.release()
    assert lease.current(tmp_path) is None
    second = take(tmp_path)
    assert second is not None
    assert second.sign.reason() is None
    second.release()
