"""What a run folder holds, and what `codedpo status` prints about it."""

import io
from pathlib import Path

from rich.console import Console

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.reporting.status import status
from codedpo_plugin.run_folder.shards import Row, read_rows


def rows_of(recipe: Recipe) -> dict[str, list[Row]]:
    """Rows of all stages but timing, without measured times."""
    measured = ("cpu_seconds", "seconds", "log_ratio", "standard_error", "rounds", "pairs")
    return {
        stage: [
            {name: value for name, value in row.items() if name not in measured}
            for row in read_rows(recipe.output, stage)
        ]
        for stage in ("candidates", "executions", "probes", "scores", "pairs")
    }


def status_of(folder: Path) -> str:
    """Output of `codedpo status`, with blanks folded."""
    out = io.StringIO()
    status(folder, Console(file=out, width=120))
    return "\n".join(" ".join(line.split()) for line in out.getvalue().splitlines())
