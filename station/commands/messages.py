"""Lines on the terminal's error channel."""

from __future__ import annotations

import typer


def complain(text: str) -> None:
    """Say what was refused or went wrong, in one line.

    Parameters
    ----------
    text
        What happened; line breaks become spaces, and what could steer the terminal a question mark.
    """
    line = " ".join(text.split())
    typer.echo(f"karyoscan: {''.join(sign if sign.isprintable() else '?' for sign in line)}", err=True)
