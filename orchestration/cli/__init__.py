"""`adprior`: what the make targets call. `adprior --help` shows the commands in the order of these imports.

    running.py     run, check                                   run the pipeline, or see whether it would
    looking.py     explain, report, models, runs, world-card, ui   look at what was made; changes nothing
    preparing.py   settings, fetch-model, init-mapping          prepare a run
    operating.py   backfill                                     keep it running

A new command goes into the file of its group: `@in_group(GROUP)`, options from `command.py`, an example in the
docstring, and a body that settles its options (`with command(...)`) and makes one call into
`orchestration/<name>_command.py`.
"""

# In the order of --help.
# isort: off
from orchestration.cli.command import app
from orchestration.cli import running
from orchestration.cli import looking
from orchestration.cli import preparing
from orchestration.cli import operating

__all__ = ["app", "looking", "operating", "preparing", "running"]
