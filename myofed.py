"""The `myofed` command: federated training for myocardial scar screening on cine cardiac MR."""

from __future__ import annotations

import sys

import click
import typer

from client.cli import app as site_app
from client.predict_cli import predict
from common.cli import app as study_app
from common.console import DONE, FAILED, WRONG_USE, exit_code, show_error
from common.console import to_person as _to_person
from common.errors import MyoFedError
from server.cli import app as coordinator_app
from server.dashboard.cli import watch
from server.report.cli import report
from simulation.cli import demo, simulate

INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

app = typer.Typer(
    help="Train one model across hospitals without moving an image.\n\nBegin with: myofed demo, or "
    "myofed study new study.toml. Not a medical device.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(study_app, name="study")
app.add_typer(site_app, name="site")
app.add_typer(coordinator_app, name="coordinator")
app.command()(simulate)
app.command()(demo)
app.command()(predict)
app.command()(watch)
app.command()(report)


def main() -> None:
    """Run the command: exit code 0 when done, 2 for a wrong use, 1 for any other failure."""
    code = DONE
    try:
        # Outside its standalone mode the command gives an Exit's code back instead of leaving.
        given = app(standalone_mode=False)
        code = given if isinstance(given, int) else DONE
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except MyoFedError as error:
        show_error(error)
        sys.exit(exit_code(error))
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USE)
    except (KeyboardInterrupt, click.Abort):
        _to_person.print("Stopped. What is done is kept: give the same command to go on.")
        sys.exit(FAILED)
    sys.exit(code)


if __name__ == "__main__":
    main()
