"""codedpo: execution-verified preference data for code models.

The path of the data, one module each::

    candidates -> execute -> score -> timing -> pairs -> export

Importing this package imports nothing heavy; see `codedpo_plugin.stages` for the pipeline.
"""

__version__ = "0.1.0"
