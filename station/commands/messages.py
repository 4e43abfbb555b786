"""Lines on the terminal that no name of a file can break, steer or make fail."""

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
    typer.echo(f"karyoscan: {printable_text(line)}", err=True)


def say(text: str) -> None:
    """Print one line of a command's result.

    Parameters
    ----------
    text
        As for `complain`; bytes of a file name that aren't UTF-8 become question marks too.
    """
    typer.echo(printable_text(text))


def printable_text(text: str) -> str:
    """Replace what could steer a terminal, or can't be written to it, by question marks."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
