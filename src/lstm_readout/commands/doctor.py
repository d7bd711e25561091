"""``lstm-readout doctor``: a configuration or a checkpoint goes in; a table of checks comes out, 1 if one failed."""

from __future__ import annotations

import sys
from typing import Any

from rich import get_console
from rich.table import Table

from lstm_readout.config.arguments import with_checkpoint
from lstm_readout.config.build import build
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.doctor.report import Report, explained
from lstm_readout.doctor.tasks import examine_task
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.report.json_writer import write_json
from lstm_readout.report.output_file import checked_output
from lstm_readout.training.trainer import quiet_lightning


def doctor(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Check the configured model, new or trained, on the configured data.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.
    """
    quiet_lightning()
    output = None if config["output"] is None else checked_output(config["output"], overwrite=config["overwrite"])
    task, data = build(config, checkpoint)
    report = examine_task(task, data.columns, untrained=config["checkpoint"] is None)
    if report is None:
        raise UserError(
            f"task: the doctor knows classify, generate and translate, not {type(task).__name__} with "
            f"{type(task.model).__name__}. From Python: lstm_readout.doctor.check(module, token_ids, lengths)."
        )
    _print_report(report)
    if output is not None:
        write_json(output, report.as_dict())
    if report.failed:
        sys.exit(1)


def _print_report(report: Report) -> None:
    """Print one line per check, then failures and warnings in full."""
    table = Table(box=None, pad_edge=False)
    for heading in ("check", "result"):
        table.add_column(heading, no_wrap=True)
    table.add_column("found")
    for result in report.results:
        table.add_row(result.name, result.status, result.difference)
    console = get_console()
    console.print(table, markup=False, highlight=False)
    for result in report.results:
        if result.status in ("failed", "warned"):
            console.print("\n" + explained(result), markup=False, highlight=False, soft_wrap=True)
    console.print("\n" + report.summary(), highlight=False)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and check."""
    arguments, checkpoint = with_checkpoint(sys.argv[1:] if arguments is None else arguments)
    hydra_main(doctor, config_name="doctor", arguments=arguments, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
