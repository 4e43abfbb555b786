"""Import a folder of finished karyograms: cell by cell, each whole or not at all, and only what changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from acquisition.storage import write_json_atomic, write_png_atomic
from analysis.errors import DatasetError, ImageError
from analysis.karyogram_import.imported_cell import ImportedCell
from analysis.karyogram_import.imported_folder import (
    CELL_ENDING,
    COCO_FILE,
    CROP_FOLDER,
    OVERVIEW_ENDING,
    SUMMARY_FILE,
    coco_dataset,
    read_imported_cell,
)
from analysis.karyogram_import.importing import file_sha256, import_pair, settings_sha256
from analysis.karyogram_import.pairs import KaryogramPair, PairedFolder
from analysis.karyogram_import.sheet_layout import BUILT_IN_LAYOUTS, SheetLayout
from scanner.portable.file_names import file_stem
from scanner.strict_yaml import load_strict
from station.errors import UsageError

_log = logging.getLogger(__name__)

FORMAT: Final = "karyoscan-import"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class RefusedPair:
    """A pair that couldn't be imported.

    Attributes
    ----------
    name
        Of the cell.
    reason
        One line for the user.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportedArchive:
    """What the import of a folder gave.

    Attributes
    ----------
    paired
        The files.
    cells
        Imported now or before, by name.
    unchanged
        Names of those imported before.
    refused
        Pairs that couldn't be.
    """

    paired: PairedFolder
    cells: tuple[ImportedCell, ...]
    unchanged: frozenset[str]
    refused: tuple[RefusedPair, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data: figures of every cell, and the files that no cell was made of."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "cells": [_cell_figures(cell) for cell in self.cells],
            "refused": [{"cell": each.name, "reason": each.reason} for each in self.refused],
            "orphans": [path.name for path in self.paired.orphans],
            "unnamed": [path.name for path in self.paired.unnamed],
        }


def read_layout(path: Path) -> SheetLayout:
    """Read a layout file.

    Raises
    ------
    UsageError
        It can't be read, or isn't a layout; with line and key.
    """

    def fault(message: str, where: Path, line: int | None) -> UsageError:
        return UsageError(f"{where}{'' if line is None else f', line {line}'}: {message}")

    return load_strict(SheetLayout, path, fault)


def import_archive(
    paired: PairedFolder,
    out: Path,
    layouts: Sequence[SheetLayout] = BUILT_IN_LAYOUTS,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ImportedArchive:
    """Import every pair of a folder.

    The record of a cell is written after its crops and its overview, so that a cell with a record is whole. A cell
    whose files, layouts and thresholds are those of its record isn't imported again.

    Parameters
    ----------
    paired
        The files.
    out
        Folder for records, crops and overviews; it is made.
    layouts
        That sheets may have.
    progress
        Called with (pairs done, pairs in all).

    Raises
    ------
    UsageError
        The folder can't be made.
    StorageError
        A file couldn't be written.
    """
    try:
        (out / CROP_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: can't be made: {error.strerror}") from error
    cells: list[ImportedCell] = []
    unchanged = set()
    refused = []
    for done, pair in enumerate(paired.pairs):
        if progress is not None:
            progress(done, len(paired.pairs))
        try:
            kept = _kept_cell(pair, out, layouts)
            if kept is not None:
                unchanged.add(pair.name)
            cells.append(_import(pair, out, layouts) if kept is None else kept)
        except ImageError as error:
            _log.info("not imported", exc_info=True)
            refused.append(RefusedPair(pair.name, str(error)))
            _record_path(out, pair.name).unlink(missing_ok=True)
    archive = ImportedArchive(paired, tuple(cells), frozenset(unchanged), tuple(refused))
    write_json_atomic(out / COCO_FILE, dict(coco_dataset(cells)))
    write_json_atomic(out / SUMMARY_FILE, archive.to_json())
    return archive


def _record_path(out: Path, name: str) -> Path:
    return out / f"{file_stem(name)}{CELL_ENDING}"


def _kept_cell(pair: KaryogramPair, out: Path, layouts: Sequence[SheetLayout]) -> ImportedCell | None:
    """The record of a cell where it still holds and all of its files are there."""
    path = _record_path(out, pair.name)
    if not path.exists():
        return None
    try:
        cell = read_imported_cell(path)
    except DatasetError:
        _log.info("record of another version is written again", exc_info=True)
        return None
    files = (cell.metaphase.sha256, cell.karyogram.sha256)
    same = files == (file_sha256(pair.metaphase), file_sha256(pair.karyogram))
    whole = all((out / CROP_FOLDER / each.crop).is_file() for each in cell.chromosomes)
    whole = whole and (out / f"{file_stem(pair.name)}{OVERVIEW_ENDING}").is_file()
    return cell if same and whole and cell.settings_sha256 == settings_sha256(layouts) else None


def _import(pair: KaryogramPair, out: Path, layouts: Sequence[SheetLayout]) -> ImportedCell:
    stale = set(_crops_of(out, pair.name))
    imported = import_pair(pair, layouts)
    record = _record_path(out, pair.name)
    # Crops that change under a record would contradict it.
    record.unlink(missing_ok=True)
    for name, crop in imported.crops.items():
        write_png_atomic(out / CROP_FOLDER / name, crop)
    overview = np.ascontiguousarray(imported.overview[..., ::-1])
    write_png_atomic(out / f"{file_stem(pair.name)}{OVERVIEW_ENDING}", overview)
    write_json_atomic(record, imported.cell.model_dump(mode="json", by_alias=True))
    for path in stale:
        if path.name not in imported.crops:
            path.unlink(missing_ok=True)
    return imported.cell


def _crops_of(out: Path, name: str) -> Iterator[Path]:
    try:
        cell = read_imported_cell(_record_path(out, name))
    except DatasetError:
        return
    for each in cell.chromosomes:
        yield out / CROP_FOLDER / Path(each.crop).name


def _cell_figures(cell: ImportedCell) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "layout": cell.layout,
        "chromosomes": len(cell.chromosomes),
        "classed": sum(each.class_defect is None for each in cell.chromosomes),
        "matched": len(cell.matched),
        "usable": len(cell.usable),
        "unmatched": [
            {"number": each.number, "class": each.class_name, "reason": each.unmatched}
            for each in cell.chromosomes
            if each.unmatched is not None
        ],
        "unclassified": [
            {"number": each.number, "reason": each.class_defect}
            for each in cell.chromosomes
            if each.class_defect is not None
        ],
        "unexplained": [list(each.box_px) for each in cell.unexplained],
    }
