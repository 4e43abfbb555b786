"""What the product proposes for labelled cells, kept as JSON lines.

A line holds all that the figures about whole cells are made of: masks, classes, the verdict. Figures are computed
from such a file, so that two versions of the product are measured by the same code in one run, and a change of a
measure needs no net. Versions from before this format write it by ``benchmarks/write_cell_predictions.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tseng import TsengImage
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.run_lengths import decode_run_lengths, encode_run_lengths
from analysis.structures.instance import Instance
from analysis.structures.karyotype import Karyotype

FORMAT: Final = "karyoscan-cell-prediction"
VERSION: Final = 1
CLASSIFIED_AT_ONCE: Final = ""
"""Class of an alternative's new object: the editor classifies it when the alternative is chosen."""


@dataclass(frozen=True, slots=True)
class PredictedObject:
    """One drawn object.

    Attributes
    ----------
    class_name
        "1".."22", "X", "Y", or "?" for none; `CLASSIFIED_AT_ONCE` for a new object of an alternative.
    probability
        In [0, 1]: that the class is right.
    box_px
        (xmin, ymin, xmax, ymax) of the mask, half open.
    extent_px
        (xmin, ymin, xmax, ymax) of the detector's inner box; None where no detector proposed it.
    run_lengths
        Mask, as COCO run lengths of the full picture.
    """

    class_name: str
    probability: float
    box_px: tuple[int, int, int, int]
    extent_px: tuple[float, float, float, float] | None
    run_lengths: str


@dataclass(frozen=True, slots=True)
class PredictedAlternative:
    """Another explanation of a pile: objects that take the place of those of some indices."""

    replaces: tuple[int, ...]
    objects: tuple[PredictedObject, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class CellPrediction:
    """What the product proposes for one cell.

    Attributes
    ----------
    image, case, split
        Of the cell.
    size_px
        Height and width of its picture.
    objects
        What is drawn; none where no metaphase was recognised.
    iscn
        ISCN string; None where none is given.
    level
        "auto", "check" or "must review"; empty where no metaphase was recognised.
    reasons
        Of the verdict.
    unexplained_px
        Boxes (xmin, ymin, xmax, ymax) of stain that the product lists as unexplained.
    alternatives
        Of its piles.
    seconds
        From pixels to the proposal.
    """

    image: str
    case: str
    split: str
    size_px: tuple[int, int]
    objects: tuple[PredictedObject, ...]
    iscn: str | None
    level: str
    reasons: tuple[str, ...]
    unexplained_px: tuple[tuple[int, int, int, int], ...]
    alternatives: tuple[PredictedAlternative, ...]
    seconds: float

    def masks(self) -> list[NDArray[np.bool_]]:
        """Masks of the objects, bool, each of the shape of its box."""
        masks = []
        for each in self.objects:
            xmin, ymin, xmax, ymax = each.box_px
            masks.append(decode_run_lengths(each.run_lengths, *self.size_px)[ymin:ymax, xmin:xmax].copy())
        return masks


def predict_cell(tseng_image: TsengImage, split: str, karyotyper: Karyotyper) -> CellPrediction:
    """Karyotype one labelled cell.

    Parameters
    ----------
    tseng_image
        The cell.
    split
        That it is of.
    karyotyper
        What is evaluated.

    Raises
    ------
    ImageError
        The picture can't be read.
    """
    image = read_image(tseng_image.path)
    size_px = (int(image.pixels.shape[0]), int(image.pixels.shape[1]))
    started_s = time.perf_counter()
    try:
        karyotype = karyotyper.karyotype(image)
    except NoMetaphaseError:
        karyotype = None
    return prediction_of(tseng_image, split, size_px, karyotype, time.perf_counter() - started_s)


def prediction_of(
    tseng_image: TsengImage, split: str, size_px: tuple[int, int], karyotype: Karyotype | None, seconds: float
) -> CellPrediction:
    """Keep of a karyotype what is measured.

    Parameters
    ----------
    tseng_image, split
        The cell.
    size_px
        Height and width of its picture.
    karyotype
        What the product proposes; None where it recognised no metaphase.
    seconds
        Time that it took.
    """
    chromosomes = () if karyotype is None else karyotype.chromosomes
    return CellPrediction(
        image=tseng_image.name,
        case=tseng_image.case,
        split=split,
        size_px=size_px,
        objects=tuple(
            predicted_object(each.class_name, each.probability, each.instance, size_px) for each in chromosomes
        ),
        iscn=None if karyotype is None else karyotype.iscn.text,
        level="" if karyotype is None else karyotype.verdict.level.value,
        reasons=() if karyotype is None else tuple(each.finding.value for each in karyotype.verdict.reasons),
        unexplained_px=() if karyotype is None else tuple(each.box_px for each in karyotype.open_unexplained),
        alternatives=() if karyotype is None else tuple(_alternatives(karyotype, size_px)),
        seconds=seconds,
    )


def _alternatives(karyotype: Karyotype, size_px: tuple[int, int]) -> Iterator[PredictedAlternative]:
    """Yield the other explanations of a karyotype's piles."""
    places = {each.instance.box_px: number for number, each in enumerate(karyotype.chromosomes)}
    for pile in karyotype.piles:
        proposed, *others = pile.explanations
        replaced = tuple(sorted(places[each.box_px] for each in proposed.instances if each.box_px in places))
        for explanation in others:
            yield PredictedAlternative(
                replaced,
                tuple(
                    predicted_object(_own_class(karyotype, places, each), 1.0, each, size_px)
                    for each in explanation.instances
                ),
                explanation.probability,
            )


def _own_class(karyotype: Karyotype, places: Mapping[tuple[int, int, int, int], int], instance: Instance) -> str:
    """Class of an instance that the proposal has as well; of a new one `CLASSIFIED_AT_ONCE`."""
    place = places.get(instance.box_px)
    return CLASSIFIED_AT_ONCE if place is None else karyotype.chromosomes[place].class_name


def predicted_object(
    class_name: str, probability: float, instance: Instance, size_px: tuple[int, int]
) -> PredictedObject:
    """Keep an instance with its class.

    Parameters
    ----------
    class_name, probability
        Its class, and how sure that is.
    instance
        Box and mask.
    size_px
        Height and width of the picture.
    """
    return PredictedObject(
        class_name,
        float(probability),
        instance.box_px,
        instance.extent_px,
        encode_run_lengths(instance.mask, instance.box_px, *size_px),
    )


def append_prediction(path: Path, prediction: CellPrediction) -> None:
    """Append one line to a file, which is made where there is none.

    Parameters
    ----------
    path
        The file.
    prediction
        What to append.
    """
    line = {
        "format": FORMAT,
        "version": VERSION,
        "image": prediction.image,
        "case": prediction.case,
        "split": prediction.split,
        "size_px": list(prediction.size_px),
        "objects": [_object_line(each) for each in prediction.objects],
        "iscn": prediction.iscn,
        "level": prediction.level,
        "reasons": list(prediction.reasons),
        "unexplained": [list(box_px) for box_px in prediction.unexplained_px],
        "alternatives": [
            {
                "replaces": list(each.replaces),
                "probability": each.probability,
                "objects": [_object_line(member) for member in each.objects],
            }
            for each in prediction.alternatives
        ],
        "seconds": prediction.seconds,
    }
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(json.dumps(line) + "\n")


def _object_line(predicted: PredictedObject) -> dict[str, Any]:
    return {
        "class": predicted.class_name,
        "probability": predicted.probability,
        "box_px": list(predicted.box_px),
        "extent_px": None if predicted.extent_px is None else [float(side) for side in predicted.extent_px],
        "mask": predicted.run_lengths,
    }


def read_predictions(path: Path) -> tuple[CellPrediction, ...]:
    """Read a file of predictions; a last line that was cut off in writing is left out.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DatasetError
        It can't be read, or isn't such a file; with the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("predictions can't be read", path=path) from error
    predictions = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            predictions.append(_parsed(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"line {number} is no cell prediction: {error!r}", path=path) from error
    return tuple(predictions)


def _parsed(line: Mapping[str, Any]) -> CellPrediction:
    if line["format"] != FORMAT or line["version"] != VERSION:
        raise ValueError(f"format {line['format']!r} {line['version']!r} isn't {FORMAT!r} {VERSION}")
    height_px, width_px = (int(side) for side in line["size_px"])
    return CellPrediction(
        image=str(line["image"]),
        case=str(line["case"]),
        split=str(line["split"]),
        size_px=(height_px, width_px),
        objects=tuple(_parsed_objects(line["objects"])),
        iscn=None if line["iscn"] is None else str(line["iscn"]),
        level=str(line["level"]),
        reasons=tuple(str(each) for each in line["reasons"]),
        unexplained_px=tuple(_whole_box(box_px) for box_px in line["unexplained"]),
        alternatives=tuple(
            PredictedAlternative(
                tuple(int(index) for index in each["replaces"]),
                tuple(_parsed_objects(each["objects"])),
                float(each["probability"]),
            )
            for each in line["alternatives"]
        ),
        seconds=float(line["seconds"]),
    )


def _parsed_objects(lines: Iterable[Mapping[str, Any]]) -> Iterator[PredictedObject]:
    for line in lines:
        extent_px = line["extent_px"]
        yield PredictedObject(
            str(line["class"]),
            float(line["probability"]),
            _whole_box(line["box_px"]),
            None
            if extent_px is None
            else (float(extent_px[0]), float(extent_px[1]), float(extent_px[2]), float(extent_px[3])),
            str(line["mask"]),
        )


def _whole_box(sides: Sequence[Any]) -> tuple[int, int, int, int]:
    xmin, ymin, xmax, ymax = (int(side) for side in sides)
    return xmin, ymin, xmax, ymax
