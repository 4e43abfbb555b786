"""Classify chromosomes that another system cut out, one picture each; jointly where their cell is known."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.assignment.joint_assignment import AssignmentCosts, assign, load_assignment_costs
from analysis.classification.classifier import CLASSIFIER_WEIGHTS, Classifier
from analysis.errors import DatasetError, ImageError
from analysis.parameters.weights import read_manifest
from analysis.straightening.crops import CellScale, crops_of_cell, scale_of_cell
from analysis.straightening.external_crops import (
    ExternalCrop,
    emits_light,
    objects_of,
    palest_level,
    read_external_crop,
)
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED

PICTURE_ENDINGS: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
TOP: Final = 5


@dataclass(frozen=True, slots=True)
class ClassifiedCrop:
    """One picture with its class.

    Attributes
    ----------
    file
        Path relative to the folder, with forward slashes.
    class_name
        "1".."22", "X" or "Y"; "?" where the cell has no place for it.
    probability
        In [0, 1]: that the class is right, given the whole cell where it is known.
    top5
        Five classes, the given one first, then as likely as the picture by itself makes them.
    flipped
        True where the short arm is at the lower end of the chromosome as the picture shows it.
    """

    file: str
    class_name: str
    probability: float
    top5: tuple[str, ...]
    flipped: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data: file, class, probability, top5, flipped."""
        return {
            "file": self.file,
            "class": self.class_name,
            "probability": round(self.probability, 4),
            "top5": list(self.top5),
            "flipped": self.flipped,
        }


@dataclass(frozen=True, slots=True)
class RefusedCrop:
    """A picture that couldn't be classified, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class CropReference:
    """What single chromosomes of one preparation are held against.

    Attributes
    ----------
    emitted
        Whether the pictures show light that is emitted.
    palest
        Grey level of the palest stain, see `palest_level`.
    scale
        Typical length, width, area and density of a chromosome.
    """

    emitted: bool
    palest: float
    scale: CellScale


@dataclass(frozen=True, slots=True)
class CropFolderSettings:
    """How many pictures without a cell are held in memory.

    Attributes
    ----------
    most_together
        Up to so many are read together; of more, so many evenly spaced ones tell what the preparation is like: the
        median of 512 lengths is known to 3 %.
    at_once
        Of more, so many are read and classified at once: 256 pictures of 256 px are some 50 MB with their views.
    """

    most_together: int = 512
    at_once: int = 256


SETTINGS: Final = CropFolderSettings()


class CropClassifier:
    """Classifies ready-cut chromosomes.

    Parameters
    ----------
    classifier
        Scores straightened chromosomes.
    prices
        What deviations from a normal cell cost in the joint assignment.
    """

    def __init__(self, classifier: Classifier, prices: AssignmentCosts | None = None) -> None:
        self._classifier = classifier
        self._prices = prices or load_assignment_costs()

    @classmethod
    def load(cls) -> CropClassifier:
        """Take the product's weights.

        Raises
        ------
        WeightsError
            Where they are missing or damaged.
        """
        return cls(Classifier.load(), AssignmentCosts.calibrated(read_manifest(CLASSIFIER_WEIGHTS).calibration))

    def classify_folder(
        self, folder: Path, cell_of_file: Mapping[str, str] | None = None
    ) -> tuple[tuple[ClassifiedCrop, ...], tuple[RefusedCrop, ...]]:
        """Classify all pictures of a folder.

        Pictures without a cell are classified one by one; they have to be of one magnification, because their
        sizes are held against one another.

        Parameters
        ----------
        folder
            The pictures.
        cell_of_file
            Cell of a file, by its path relative to the folder; files it names are looked for in subfolders too.

        Returns
        -------
        classified, refused
            Each in the order of the file names.

        Raises
        ------
        DatasetError
            Where there is no such folder or no picture in it.
        """
        cell_of_file = dict(cell_of_file or {})
        if not folder.is_dir():
            raise DatasetError("no such folder", path=folder)
        found = {path.name for path in folder.iterdir() if _is_picture(path)}
        files = sorted(found | set(cell_of_file))
        if not files:
            raise DatasetError(f"no picture in it ({', '.join(sorted(PICTURE_ENDINGS))})", path=folder)
        groups: dict[str | None, list[str]] = {}
        for file in files:
            groups.setdefault(cell_of_file.get(file), []).append(file)
        refused: dict[str, RefusedCrop] = {}
        classified: dict[str, ClassifiedCrop] = {}
        for cell, members in groups.items():
            reference = None if cell is not None else self._reference(folder, members)
            at_once = len(members) if reference is None else SETTINGS.at_once
            for start in range(0, len(members), max(at_once, 1)):
                crops, failed = _read(folder, members[start : start + at_once])
                refused.update(failed)
                entries = self.classify(
                    list(crops), list(crops.values()), one_cell=cell is not None, reference=reference
                )
                classified.update((entry.file, entry) for entry in entries)
        return (
            tuple(classified[file] for file in files if file in classified),
            tuple(refused[file] for file in files if file in refused),
        )

    def _reference(self, folder: Path, files: Sequence[str]) -> CropReference | None:
        """Measure the preparation on a sample of many pictures; None where few enough are read together."""
        if len(files) <= SETTINGS.most_together:
            return None
        every = -(-len(files) // SETTINGS.most_together)
        crops, _ = _read(folder, files[::every])
        if not crops:
            return None
        sample = list(crops.values())
        emitted = emits_light(sample)
        palest = palest_level(sample, emitted=emitted)
        objects = objects_of(sample, emitted=emitted, palest=palest)
        scale = scale_of_cell(objects, medial_axes([piece.mask for piece in objects]))
        return CropReference(emitted, palest, scale)

    def classify(
        self,
        files: Sequence[str],
        cuts: Sequence[ExternalCrop],
        *,
        one_cell: bool,
        reference: CropReference | None = None,
    ) -> tuple[ClassifiedCrop, ...]:
        """Classify pictures of one magnification.

        Parameters
        ----------
        files
            Their names.
        cuts
            The pictures.
        one_cell
            True where they are all that there is of one cell, and nothing else.
        reference
            What the whole preparation is like, where these are a part of it; measured on them where it is None.
        """
        if reference is None:
            crops = crops_of_cell(objects_of(cuts, emitted=emits_light(cuts)))
        else:
            objects = objects_of(cuts, emitted=reference.emitted, palest=reference.palest)
            crops = crops_of_cell(objects, scale=reference.scale)
        scores = self._classifier.score(crops, one_cell=one_cell)
        ranked = np.argsort(-scores.log_prob, axis=1, kind="stable")
        if one_cell:
            # Who cut them took each for one chromosome; that none of them is one isn't asked again.
            assigned = assign(scores.log_prob, None, self._prices)
            classes, probability = assigned.classes, assigned.probability
        else:
            classes = tuple(CLASS_NAMES[k] for k in ranked[:, 0])
            probability = np.exp(scores.log_prob.max(axis=1, initial=-np.inf))
        flipped = scores.flipped_as(classes)
        return tuple(
            ClassifiedCrop(
                file,
                classes[row],
                float(min(probability[row], 1.0)),
                _first(classes[row], [CLASS_NAMES[k] for k in ranked[row]]),
                bool(flipped[row]),
            )
            for row, file in enumerate(files)
        )


def _read(folder: Path, files: Sequence[str]) -> tuple[dict[str, ExternalCrop], dict[str, RefusedCrop]]:
    """Read pictures, by file: those that show a chromosome, and those that can't be used."""
    crops: dict[str, ExternalCrop] = {}
    refused: dict[str, RefusedCrop] = {}
    for file in files:
        try:
            crops[file] = read_external_crop(folder / file)
        except ImageError as error:
            refused[file] = RefusedCrop(file, str(error))
    return crops, refused


def read_cells(path: Path) -> dict[str, str]:
    """Read a table (CSV with the columns ``file`` and ``cell``; further ones are passed over).

    Returns
    -------
    dict
        Cell of every file. Files whose cell is empty are left out.

    Raises
    ------
    DatasetError
        Where it can't be read, lacks a column, names a file twice or one outside of the folder.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"can't be read ({error.strerror or error})", path=path) from error
    except UnicodeDecodeError as error:
        raise DatasetError("isn't a text of UTF-8", path=path) from error
    reader = csv.DictReader(lines)
    missing = [name for name in ("file", "cell") if name not in (reader.fieldnames or ())]
    if missing:
        raise DatasetError(f"column {missing[0]!r} is missing", path=path)
    cells: dict[str, str] = {}
    for row in reader:
        file, cell = (row["file"] or "").strip(), (row["cell"] or "").strip()
        if not file:
            raise DatasetError(f"line {reader.line_num} names no file", path=path)
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise DatasetError(f"line {reader.line_num}: {file!r} isn't inside the folder", path=path)
        if file in cells:
            raise DatasetError(f"line {reader.line_num}: {file!r} is named twice", path=path)
        cells[file] = cell
    return {file: cell for file, cell in cells.items() if cell}


def _is_picture(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() in PICTURE_ENDINGS


def _first(name: str, ranked: Iterable[str]) -> tuple[str, ...]:
    head = () if name == UNCLASSIFIED else (name,)
    return (*head, *(other for other in ranked if other != name))[:TOP]
