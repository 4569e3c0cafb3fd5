"""What can never start on this machine is known before anything starts."""

import os

import pytest

from pipelines import machine
from pipelines.executors import InProcess, OnRay
from pipelines.workspace import Resources

CPUS = len(os.sched_getaffinity(0))
FITS = Resources()


@pytest.mark.parametrize(
    ("resources", "together", "said"),
    [
        (FITS, True, None),
        (Resources(workers=1000), False, None),  # one after another would do
        (Resources(workers=1000, cpus_per_worker=1), True, "1,000 CPUs, and this machine has "),
        (Resources(workers=1, cpus_per_worker=CPUS), True, None),
        (Resources(cpus_per_worker=CPUS + 3), False, f"{CPUS + 3} CPUs, and this machine has "),
        (Resources(memory_gb_per_worker=10**9), False, "1e+09 GB of memory, and this machine "),
        (Resources(gpus_per_worker=99), False, "99 GPUs, and this machine has "),
    ],
)
def test_what_a_machine_lacks_is_named(
    resources: Resources, together: bool, said: str | None
) -> None:
    found = machine.lacking(resources, together=together)
    assert found is None if said is None else found is not None and found.startswith(said)
    assert OnRay().lacking(resources, together=together) == found
    # A cluster may grow, and one process runs a unit whatever it asks for.
    assert OnRay("auto").lacking(resources, together=together) is None
    assert InProcess().lacking(resources, together=together) is None


def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert machine.capacity().gpus == 0
