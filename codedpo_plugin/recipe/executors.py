"""Recipe sections of clusters."""

from pydantic import Field

from codedpo_plugin.recipe.section import Section


class Slurm(Section):
    """`codedpo build RECIPE --executor slurm`: the stages as array jobs."""

    partition: str
    time: str = "24:00:00"
    """Time limit of a task; the next run of the same command does the rest."""
    parts: int = Field(16, ge=1)
    """Tasks that share the shards."""
    cpus: int = Field(8, ge=1)
    """Cores, and so worker processes, per task."""
    memory_gb: int = Field(2, ge=1)
    """Per core: `execute.memory_mb` plus the memory of a worker itself."""
    at_once: int = -1
    """Concurrent tasks; -1 for no limit."""
    qos: str | None = None
    setup: str | None = None
    """Shell commands that make `codedpo` available on a node; by default this environment's."""
    options: dict[str, str] = {}
    """Further options of `sbatch`, such as `account: mine`."""
    timing: dict[str, str] = {}
    """Further options for the job that times solutions, such as `constraint: icelake`."""


class Ray(Section):
    """`codedpo build RECIPE --executor ray`: a Ray task for each shard."""

    address: str = "auto"
    """Of a running cluster; `auto` for this machine's, `local` to start one here."""
