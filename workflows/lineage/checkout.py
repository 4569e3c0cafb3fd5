"""The code that made an artifact: this checkout, or a git worktree of its commit for a while."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workflows import environment
from workflows.artifact import Manifest
from workflows.environment import PROJECT
from workflows.errors import WorkflowError

_SECONDS = 120


@contextmanager
def code_of(chain: Sequence[Manifest], *, anyway: bool, project: Path = PROJECT) -> Iterator[Path]:
    """Give a folder with the code that the last artifact of a chain was made with.

    Args:
        chain: The manifests of everything that is to be made again, the artifact itself last.
        anyway: Go on where the exact code cannot be had: from the commit without the uncommitted
            changes, or from this checkout where no commit is known.
        project: The checkout that knows the commit.

    Raises:
        WorkflowError: the code was never committed, or the commit is not in this checkout.
    """
    commit = chain[-1].commit
    if commit is None:
        if not anyway:
            raise WorkflowError(
                f"{chain[-1].name} was made outside a git checkout: its code is not known. "
                "Make it again with the code that is installed here: --anyway"
            )
        yield project
        return
    present = (environment.commit(), environment.dirty_diff()) if project == PROJECT else None
    if all((m.commit, m.dirty_diff) == present for m in chain):
        yield project
        return
    dirty = [m.name for m in chain if m.dirty_diff]
    if dirty and not anyway:
        raise WorkflowError(
            f"{', '.join(dirty)} {'was' if len(dirty) == 1 else 'were'} made with uncommitted "
            "changes, which are not recorded: only their hash is. Make it again from the commit "
            f"{commit[:12]} without them: --anyway"
        )
    if present == (commit, None):
        yield project
        return
    with _worktree(commit, project) as folder:
        yield folder


@contextmanager
def _worktree(commit: str, project: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="llada-code-") as temporary:
        folder = Path(temporary) / "code"
        try:
            _git(project, "worktree", "add", "--detach", str(folder), commit)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise WorkflowError(
                f"cannot check out the commit {commit[:12]} of {project}: {said}. "
                "Fetch it (git fetch --all), or run from the checkout that has it."
            ) from error
        except (OSError, subprocess.SubprocessError) as error:
            raise WorkflowError(f"cannot ask git for {commit[:12]}: {error}") from error
        try:
            yield folder
        finally:
            _git(project, "worktree", "remove", "--force", str(folder))


def _git(project: Path, *arguments: str) -> None:
    command = ["git", "-C", str(project), *arguments]
    subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
