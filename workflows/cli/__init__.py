"""The command line `llada`: one file a group of verbs, loaded when its verb is asked for.

Exit codes: 0 done, 1 failed, 2 usage (`plan --exit-code` adds its own; see its help).
"""

import signal
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module

import click

from pipelines import side_threads
from pipelines.errors import PipelineError
from workflows.errors import StageError, UsageError, WorkflowError
from workflows.stage import nearest

COMMANDS: Mapping[str, str] = {
    "plan": "workflows.cli.recipes:plan",
    "run": "workflows.cli.recipes:run",
    "filter": "workflows.cli.filtering:filter_",
    "report": "workflows.cli.report:report",
    "status": "workflows.cli.recipes:status",
    "attach": "workflows.cli.runs:attach",
    "logs": "workflows.cli.runs:logs",
    "cancel": "workflows.cli.runs:cancel",
    "accept": "workflows.cli.recipes:accept",
    "show": "workflows.cli.artifacts:show",
    "lineage": "workflows.cli.artifacts:lineage",
    "explain": "workflows.cli.documents:explain",
    "trace": "workflows.cli.documents:trace",
    "diff": "workflows.cli.history:diff",
    "reproduce": "workflows.cli.artifacts:reproduce",
    "export": "workflows.cli.export:export",
    "generate": "workflows.cli.models:generate",
    "likelihood": "workflows.cli.models:likelihood",
    "chat": "workflows.cli.chat:chat",
    "serve": "workflows.cli.serve:serve",
    "ui": "workflows.cli.ui:ui",
    "sync": "workflows.cli.tracking:sync",
    "promote": "workflows.cli.tracking:promote",
    "models": "workflows.cli.tracking:models",
    "verify": "workflows.cli.store:verify",
    "tag": "workflows.cli.store:tag",
    "pin": "workflows.cli.store:pin",
    "unpin": "workflows.cli.store:unpin",
    "gc": "workflows.cli.store:gc",
    "doctor": "workflows.cli.store:doctor",
}
"""verb -> where its click command stands; a new verb is a function and one line here."""


class _Verbs(click.Group):
    """A group that imports a verb's module only when that verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            known = ", ".join(COMMANDS) + "." + nearest(args[0], list(COMMANDS))
            raise UsageError(f"No such command '{args[0]}'; there are {known}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llada-pipeline")
def cli() -> None:
    """From raw documents to a talking masked-diffusion language model."""


def main() -> None:
    """Run the command line; people get sentences, our own bugs get a traceback."""
    try:
        # Without click's own ending a code given to `Context.exit` comes back as the result.
        ended = cli.main(standalone_mode=False)
        code = ended if isinstance(ended, int) else 0
    except click.exceptions.Abort:
        code = _complain("interrupted", 1)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except StageError as error:
        if error.details:
            print(error.details.rstrip(), file=sys.stderr)  # noqa: T201
        code = _complain(f"stage '{error.stage}' failed: {error}", 1)
    except WorkflowError as error:
        code = _complain(str(error), error.exit_code)
    except (PipelineError, ValueError) as error:
        code = _complain(str(error), 1)
    except KeyboardInterrupt:
        code = _complain("interrupted", 1)
    except BrokenPipeError:
        code = 1
    except Exception:  # noqa: BLE001  the process edge: our own bug, shown whole
        traceback.print_exc()
        code = _complain("this is a bug in llada: please report it with the lines above", 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends now; no traceback for one more Ctrl-C
    side_threads.leave(code)


def _complain(message: str, code: int) -> int:
    if sys.stderr.isatty():
        print("\r\x1b[2K", end="", file=sys.stderr)  # noqa: T201  how far something was
    print(f"llada: {message}", file=sys.stderr)  # noqa: T201
    return code
