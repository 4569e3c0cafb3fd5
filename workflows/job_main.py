"""What a Ray job of `llada run --address http://...` executes on the cluster's head."""

import json
import os
import sys
from pathlib import Path

from workflows.jobs import ARGUMENTS


def main() -> None:
    """Carry out the run that the folder this job was sent with describes."""
    sent = Path.cwd()
    told = json.loads((sent / ARGUMENTS).read_text())
    base = Path(told["base"])
    if base.is_dir():  # relative paths mean what they meant where the run was sent from
        os.chdir(base)
    sys.path.insert(0, str(sent))
    sys.argv = [
        "llada",
        "run",
        str(sent / "recipe.yaml"),
        *told["arguments"],
        f"--address={os.environ.get('RAY_ADDRESS', 'auto')}",
        f"--run-id={told['run_id']}",
        f"--store={told['store']}",
        f"--sent-as={told['command']}",
    ]
    from workflows.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
