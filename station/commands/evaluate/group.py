"""How ``karyoscan evaluate`` reads its command line."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperGroup

from station.commands.messages import complain

FORMER_OPTIONS: Final = {
    "--data": True,
    "--split": True,
    "--limit": True,
    "--contours": False,
    "--finder": True,
    "--report": True,
    "--jobs": True,
    "--json": True,
}
"""Options that all data sets took when there was one command for all, and whether a value follows."""

_HELP: Final = frozenset({"--help"})


class EvaluationGroup(TyperGroup):
    """Data sets as subcommands, whose calls of earlier versions still work.

    The data set's name may stand behind its options, and an option that doesn't serve it is passed over.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps that class private
        """Put the name of the data set first and drop what doesn't serve it.

        Parameters
        ----------
        ctx
            Of the command line.
        args
            What follows ``karyoscan evaluate``.
        """
        place = next((i for i, each in enumerate(args) if each in self.commands), None)
        if place is None or (args[0].startswith("-") and _HELP & set(args)):
            return super().parse_args(ctx, args)
        rest = self._served(args[place], [*args[:place], *args[place + 1 :]])
        return super().parse_args(ctx, [args[place], *rest])

    def _served(self, name: str, args: list[str]) -> list[str]:
        accepted = {option for param in self.commands[name].params for option in param.opts}
        kept: list[str] = []
        remaining = iter(args)
        for each in remaining:
            option = each.split("=", 1)[0]
            if option in accepted or option not in FORMER_OPTIONS:
                kept.append(each)
                continue
            complain(f"evaluate {name} has no use for {option}; it is passed over")
            if FORMER_OPTIONS[option] and "=" not in each:
                next(remaining, None)
        return kept
