"""Which files of a folder are the metaphase and the karyogram of one cell: by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analysis.errors import DatasetError

PICTURE_ENDINGS: Final = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
METAPHASE_PATTERN: Final = "{cell}_A"
KARYOGRAM_PATTERN: Final = "{cell}_K"
"""Names as Ikaros exports them; the ending of the file doesn't matter."""
_PLACEHOLDER: Final = "{cell}"


@dataclass(frozen=True, slots=True)
class KaryogramPair:
    """Two files of one cell.

    Attributes
    ----------
    name
        What both names have in common.
    metaphase, karyogram
        The files.
    """

    name: str
    metaphase: Path
    karyogram: Path


@dataclass(frozen=True, slots=True)
class PairedFolder:
    """The pictures of a folder.

    Attributes
    ----------
    pairs
        By name.
    orphans
        Metaphases without a karyogram and karyograms without a metaphase.
    unnamed
        Pictures whose name fits neither pattern.
    """

    pairs: tuple[KaryogramPair, ...]
    orphans: tuple[Path, ...]
    unnamed: tuple[Path, ...]


def pair_pictures(
    folder: Path, *, metaphase_pattern: str = METAPHASE_PATTERN, karyogram_pattern: str = KARYOGRAM_PATTERN
) -> PairedFolder:
    """Pair the pictures of a folder.

    Parameters
    ----------
    folder
        With the pictures; folders in it aren't entered.
    metaphase_pattern, karyogram_pattern
        Name of a file without its ending, with ``{cell}`` for what both have in common.

    Raises
    ------
    DatasetError
        A pattern has no ``{cell}`` or both are the same, there is no such folder, it has no pair, or two files of
        it are the same picture of one cell.
    """
    if metaphase_pattern == karyogram_pattern:
        raise DatasetError(
            f"metaphase and karyogram have the same pattern {metaphase_pattern!r}; they must differ"
        )
    if not folder.is_dir():
        raise DatasetError("there is no such folder", path=folder)
    pictures = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS and path.is_file()
    )
    karyograms, rest = _named(pictures, karyogram_pattern)
    metaphases, unnamed = _named(rest, metaphase_pattern)
    pairs = tuple(
        KaryogramPair(name, metaphases[name], karyograms[name])
        for name in sorted(metaphases.keys() & karyograms.keys())
    )
    if not pairs:
        raise DatasetError(
            f"no pair of pictures: of {len(pictures)} pictures ({', '.join(PICTURE_ENDINGS)}) none are named "
            f"{metaphase_pattern} and {karyogram_pattern} with the same {_PLACEHOLDER}; set --metaphase-pattern "
            "and --karyogram-pattern to how your system names them",
            path=folder,
        )
    orphans = [path for name, path in metaphases.items() if name not in karyograms]
    orphans += [path for name, path in karyograms.items() if name not in metaphases]
    return PairedFolder(pairs, tuple(sorted(orphans)), tuple(unnamed))


def _named(pictures: Sequence[Path], pattern: str) -> tuple[dict[str, Path], list[Path]]:
    if pattern.count(_PLACEHOLDER) != 1:
        raise DatasetError(f"found the pattern {pattern!r}; allowed: a name with {_PLACEHOLDER} in it once")
    before, after = pattern.split(_PLACEHOLDER)
    expression = re.compile(f"{re.escape(before)}(.+){re.escape(after)}", re.DOTALL)
    named: dict[str, Path] = {}
    others = []
    for path in pictures:
        match = expression.fullmatch(path.stem)
        if match is None:
            others.append(path)
        elif match[1] in named:
            raise DatasetError(
                f"{named[match[1]].name} and {path.name} are both {pattern} of {match[1]}", path=path
            )
        else:
            named[match[1]] = path
    return named, others
