"""A process of a distributed ``SSAVAE.fit``: ``python -m ssavae.training.worker FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from ssavae.persistence.training_state import drop_state, load_state
from ssavae.training.distributed.context import context_of
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.distributed.launcher import exit_process, is_first, report
from ssavae.training.distributed.remote import plan_from, save_result
from ssavae.training.steps import train_networks


def train_plan(folder: Path) -> None:
    """Train the plan in a folder together with the other processes; the first one writes the result."""
    state = load_state(folder)
    where = state["where"]
    fabric = launch_fabric(where["device"], where["precision"], where["devices"])
    context_of(fabric).barrier()
    if is_first():
        drop_state(folder)  # the rows, which all have read
    trained = train_networks(plan_from(state, fabric.device), fabric)
    if is_first():
        save_result(folder, trained)


if __name__ == "__main__":
    try:
        train_plan(Path(sys.argv[1]))
    except BaseException as error:  # an interrupt is reported as well
        if not report(error):
            raise
        exit_process(1)
    exit_process(0)
