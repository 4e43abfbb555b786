"""What ``karyoscan batch`` was asked, kept beside the batch so that its progress can be told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acquisition.storage.run_folder import REQUEST_NAME


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What the command was asked.

    Attributes
    ----------
    rig, worklist, out
        Folder of the rig, worklist file, folder of the batch.
    tray
        Simulated rigs with a feeder: table of the slides in the magazine; None takes the rig's own.
    faults
        Simulated rigs: what goes wrong on purpose.
    """

    rig: Path
    worklist: Path
    out: Path
    tray: Path | None = None
    faults: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``request.json`` keeps it; paths are absolute."""
        return {
            "kind": "batch",
            "rig": str(self.rig.resolve()),
            "worklist": str(self.worklist.resolve()),
            "out": str(self.out.resolve()),
            "tray": None if self.tray is None else str(self.tray.resolve()),
            "faults": self.faults,
        }


def read_batch_request(folder: Path) -> BatchRequest | None:
    """What the batch in a folder was asked; None where nothing says so, as with batches of earlier versions."""
    try:
        values = json.loads((folder / REQUEST_NAME).read_text(encoding="utf-8"))
        if values["kind"] != "batch":
            return None
        tray = values["tray"]
        return BatchRequest(
            Path(values["rig"]),
            Path(values["worklist"]),
            folder,
            None if tray is None else Path(tray),
            str(values["faults"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
