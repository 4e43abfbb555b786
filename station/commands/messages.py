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
    typer.echo(f"karyoscan: {_printable(line)}", err=True)


def say(text: str) -> None:
    """Print one line of a command's result.

    Parameters
    ----------
    text
        As for `complain`; bytes of a file name that aren't UTF-8 become question marks too.
    """
    typer.echo(_printable(text))


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
