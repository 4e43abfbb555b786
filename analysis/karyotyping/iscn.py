"""Compose the ISCN string of a cell from the counts of its chromosomes, and count back.

Only whole chromosomes are spoken of: structural changes aren't seen by the classifier and never claimed. Objects
without a class (debris, several chromosomes in one, parts of one) aren't counted and never claimed as markers; a
person may name one (``+mar``). Where objects have no class, the string ends in ``inc`` (incomplete karyotype):
gains are then listed, losses aren't, because the chromosome that seems to be lost may be among them. The same
holds where software alone misses more than a few: they then weren't found rather than lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from analysis.structures.classes import AUTOSOMES, MARKER, UNCLASSIFIED
from analysis.structures.iscn import IscnResult

MIN_COUNT = 35
MAX_COUNT = 103
"""Counts outside are no whole cell, or several (hypodiploid begins at 35, near-tetraploid ends at 103)."""
MAX_NEAR_DIPLOID = 57
MAX_NEAR_TRIPLOID = 80
"""Largest counts that ISCN calls near-diploid and near-triploid; more are near-tetraploid."""
LOSSES_BELIEVED = 3
"""Autosomes that a proposal may call lost; more are missing from the picture, or lie in a pile."""
INCOMPLETE = ",inc"
"""End of the string of an incomplete karyotype, which doesn't list its losses."""


def compose_iscn(classes: Iterable[str], *, losses_believed: int | None = None) -> IscnResult:
    """Compose the ISCN string of one cell.

    Parameters
    ----------
    classes
        Class of every chromosome: "1".."22", "X", "Y", "mar" or "?".
    losses_believed
        With more chromosomes missing the karyotype counts as incomplete, as with objects that have no class; None
        where a person has seen to it that all are there.
    """
    counts = Counter(classes)
    unclassified = counts.pop(UNCLASSIFIED, 0)
    total = sum(counts.values())
    if not MIN_COUNT <= total <= MAX_COUNT:
        return IscnResult(
            None, f"{total} chromosome{'s' * (total != 1)}, not one whole cell ({MIN_COUNT} to {MAX_COUNT})"
        )
    if counts["X"] == 0:
        return IscnResult(None, "no X chromosome was recognised")
    if 2 * unclassified > total:
        return IscnResult(
            None, f"{unclassified} object{'s' * (unclassified != 1)} beside {total} chromosomes without a class"
        )
    ploidy = 2 if total <= MAX_NEAR_DIPLOID else 3 if total <= MAX_NEAR_TRIPLOID else 4
    missing = sum(max(0, ploidy - counts[name]) for name in AUTOSOMES)
    missing += max(0, ploidy - counts["X"] - counts["Y"])
    incomplete = unclassified > 0 or (losses_believed is not None and missing > losses_believed)
    changes = []
    for name in AUTOSOMES:
        surplus = counts[name] - ploidy
        if surplus > 0:
            changes += [f"+{name}"] * surplus
        elif surplus < 0 and not incomplete:
            changes += [f"-{name}"] * -surplus
    if counts[MARKER]:
        changes.append(f"+{counts[MARKER] if counts[MARKER] > 1 else ''}{MARKER}")
    # Whole triploid and tetraploid cells need no ploidy level; relative to another level than 2n it is stated.
    level = f"<{ploidy}n>" if ploidy > 2 and (changes or incomplete) else ""
    parts = [f"{total}{level}", "X" * counts["X"] + "Y" * counts["Y"], *changes]
    return IscnResult(",".join(parts + (["inc"] if incomplete else [])))
