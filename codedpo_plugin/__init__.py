"""codedpo: execution-verified preference data for code models.

The path of the data, one package each::

    synthesis -> sampling -> execution -> ranking -> timing -> pairing -> dataset -> training

`codedpo_plugin.stages` lists the stages, `codedpo_plugin.pipeline` runs them. Importing this
package imports nothing heavy.
"""

__version__ = "0.1.0"
