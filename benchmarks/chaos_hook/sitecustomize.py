"""Kills the process that imports it, by SIGKILL, at one named step of the store's protocol.

Python loads a module of this name at start where its folder stands on PYTHONPATH: so it reaches the
driver and every Ray worker, and nothing in the product knows of it. It listens to the interpreter's
audit events, which come *before* a file is opened, linked or renamed.

    LLADA_CHAOS = {"store": ..., "step": "record-link", "nth": 1, "killed": path}
"""

import json
import os
import re
import signal
import sys

STEPS = {
    "lease-link": ("os.link", r"_lease/e\d+$"),
    "beat-rename": ("os.rename", r"_lease/e\d+\.beat$"),
    "data-open": ("open", r"data/\.part-.*\.tmp$"),
    "data-rename": ("os.rename", r"data/part-[^/]*$"),
    "rejects-rename": ("os.rename", r"rejects/part-[^/]*$"),
    "record-open": ("open", r"_shards/\.[^/]*\.tmp$"),
    "record-link": ("os.link", r"_shards/[^/]*\.json$"),
    "checkpoint-link": ("os.link", r"checkpoints/.*COMPLETE\.json$"),
    "manifest-open": ("open", r"/\.manifest\.json\.[^/]*\.tmp$"),
    "manifest-link": ("os.link", r"/manifest\.json$"),
    "release-link": ("os.link", r"_lease/e\d+\.released$"),
    "journal-open": ("open", r"_runs/[^/]*/events\.jsonl$"),
}
"""Step -> the audit event and what the written path ends with."""


def listen(plan: dict[str, object]) -> None:
    event_of_step, pattern = STEPS[str(plan["step"])]
    ends = re.compile(pattern)
    store = os.path.realpath(str(plan["store"]))
    left = int(str(plan["nth"]))

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event != event_of_step or not arguments:
            return
        at = arguments[0] if event == "open" else arguments[1]
        path = os.fspath(at) if isinstance(at, str | os.PathLike) else ""
        if not isinstance(path, str) or not path.startswith(store) or not ends.search(path):
            return
        left -= 1
        if left:
            return
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            handle = os.open(str(plan["killed"]), flags)  # one process a plan, the first
        except FileExistsError:
            return
        os.write(handle, json.dumps({"pid": os.getpid(), "path": path}).encode())
        os.close(handle)
        os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


_plan = os.environ.get("LLADA_CHAOS")
if _plan:
    listen(json.loads(_plan))
