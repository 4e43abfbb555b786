"""Records of imported cells, read back and exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from analysis.errors import DatasetError
from analysis.karyogram_import.imported_cell import FORMAT, ImportedCell
from analysis.karyotyping.run_lengths import decode_run_lengths
from analysis.structures.classes import CLASS_NAMES, MARKER

CELL_ENDING: Final = ".cell.json"
CROP_FOLDER: Final = "crops"
OVERVIEW_ENDING: Final = ".overview.png"
SUMMARY_FILE: Final = "import.json"
COCO_FILE: Final = "coco.json"
_MOST_BYTES: Final = 32_000_000
"""Of one cell's record: a thousand chromosomes of a large picture have less."""


def read_imported_cell(path: Path) -> ImportedCell:
    """Read the record of one cell.

    Raises
    ------
    DatasetError
        It can't be read, or isn't such a record.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"more than {_MOST_BYTES:,} bytes, which no {FORMAT} has", path=path)
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"can't be read: {error.strerror}", path=path) from error
    try:
        return ImportedCell.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DatasetError(
            f"isn't a {FORMAT}: {place}: {first['msg']}; import the cell again", path=path
        ) from error


def coco_dataset(cells: Sequence[ImportedCell]) -> Mapping[str, Any]:
    """Matched chromosomes with a class, as a COCO data set of boxes and masks (Lin et al. 2014).

    Parameters
    ----------
    cells
        To export; a metaphase without such a chromosome is an image without annotation.

    Returns
    -------
    Mapping
        Plain data: images, annotations, categories. Category n is the n-th of 1..22, X, Y, mar.
    """
    names = (*CLASS_NAMES, MARKER)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, cell in enumerate(cells, start=1):
        size = cell.metaphase.height_px, cell.metaphase.width_px
        images.append({"id": image_id, "file_name": cell.metaphase.file, "height": size[0], "width": size[1]})
        for chromosome in cell.usable:
            place = chromosome.place
            if place is None:
                continue
            xmin, ymin, xmax, ymax = place.box_px
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": names.index(chromosome.class_name) + 1,
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "area": int(decode_run_lengths(place.mask, *size).sum()),
                    "segmentation": {"size": list(size), "counts": place.mask},
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
