"""Recipe sections of clusters."""

from pydantic import Field

from codedpo_plugin.recipe.section import Section


class Slurm(Section):
    """`codedpo build RECIPE --executor slurm`: the stages as array jobs."""

    partition: str
    time: str = "24:00:00"
    """Limit of one task; what it has not done by then, the next run of the same command does."""
    parts: int = Field(16, ge=1)
    """Tasks that the shards are dealt to."""
    cpus: int = Field(8, ge=1)
    """Cores, and so worker processes, of one task."""
    memory_gb: int = Field(2, ge=1)
    """Of one core: `execute.memory_mb` and what a worker itself needs."""
    at_once: int = -1
    """Tasks at a time; -1 for no limit."""
    qos: str | None = None
    setup: str | None = None
    """Shell commands that make `codedpo` available on a node; by default this environment's."""
    options: dict[str, str] = {}
    """Further options of `sbatch`, such as `account: mine`."""
    timing: dict[str, str] = {}
    """The same for the job that times solutions, such as `constraint: icelake`."""


class Ray(Section):
    """`codedpo build RECIPE --executor ray`: a Ray task for each shard."""

    address: str = "auto"
    """Of a running cluster; `auto` for the one of this machine, `local` to start one here."""
