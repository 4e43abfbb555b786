"""Where the data sets lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from analysis.errors import DatasetError

DATA_VARIABLE: Final = "KARYOSCAN_DATA"


def data_root(folder: Path | None = None) -> Path:
    """Give the folder that holds a folder of every data set.

    Parameters
    ----------
    folder
        Given by the user; None takes the environment's ``KARYOSCAN_DATA``.

    Raises
    ------
    DatasetError
        Neither is set, or there is no such folder.
    """
    if folder is None:
        named = os.environ.get(DATA_VARIABLE, "")
        if not named:
            raise DatasetError(
                f"where the data sets lie isn't known: give --data FOLDER, or set {DATA_VARIABLE} to the folder "
                "that holds tseng, gband612 and the other sets"
            )
        folder = Path(named)
    if not folder.is_dir():
        raise DatasetError(f"there is no such folder of data sets; set {DATA_VARIABLE} or --data", path=folder)
    return folder
