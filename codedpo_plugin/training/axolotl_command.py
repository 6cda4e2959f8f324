"""`axolotl codedpo ...`: the `codedpo` command inside Axolotl's."""

import click

from codedpo_plugin import cli


@click.command("codedpo", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Execution-verified preference data for code models."""
    cli.main(list(arguments))
