"""Run folders as a run leaves them, with pictures and proposals that are small."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from acquisition.casebook import open_casebook
from acquisition.records import (
    CandidateRecord,
    CandidateStatus,
    CaptureRecord,
    FieldRecord,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunRecord,
    RunStatus,
)

BEGAN = datetime(2026, 1, 5, 20, tzinfo=UTC)


@dataclass(frozen=True)
class RunOfTest:
    folder: Path
    uid: str = "run-1"
    slide: str = "B1"
    accession: str = "24-0117"

    def begin(self) -> None:
        for part in ("captures", "karyograms", "finds"):
            (self.folder / part).mkdir(parents=True)
        request = {"kind": "scan", "accession": self.accession}
        (self.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        record = RunRecord(self.uid, self.slide, "rig", "", "protocol", "", "0.1.0", BEGAN)
        with open_casebook(self.folder / "casebook.sqlite") as casebook:
            casebook.begin_run(record)
            casebook.record_field(self.uid, FieldRecord(
                0, 0, 0, 1.0, 1.0, None, None, None, FieldStatus.DONE, BEGAN, 0.0, 0.0, 0.0, 0.0, 9,
            ))  # fmt: skip

    def find(self, candidates: int) -> None:
        with open_casebook(self.folder / "casebook.sqlite") as casebook:
            casebook.record_candidates(self.uid, [
                CandidateRecord(f"c{rank:04d}", 0, 10.0 * rank, 5.0, 20.0, 0.9, rank, CandidateStatus.SELECTED,
                                thumbnail=f"finds/c{rank:04d}.png", analysable=0.8)
                for rank in range(1, candidates + 1)
            ])  # fmt: skip

    def capture(self, first: int, last: int) -> None:
        with open_casebook(self.folder / "casebook.sqlite") as casebook:
            for rank in range(first, last + 1):
                uid = f"c{rank:04d}"
                content = f"picture {uid}".encode()
                (self.folder / f"captures/{uid}.ome.tiff").write_bytes(content)
                casebook.record_capture(self.uid, CaptureRecord(
                    uid, uid, f"captures/{uid}.ome.tiff", hashlib.sha256(content).hexdigest(), 1.0, 1.0, 1.0, 1.0,
                    1.0, "63x", 0.1, 5.0, 1.0, 0.5, BEGAN + timedelta(minutes=rank),
                ))  # fmt: skip
                casebook.set_candidate_status(self.uid, uid, CandidateStatus.CAPTURED)

    def karyotype(self, first: int, last: int, iscn: str = "46,XX", *, seconds: float = 1.0) -> None:
        with open_casebook(self.folder / "casebook.sqlite") as casebook:
            for rank in range(first, last + 1):
                uid = f"c{rank:04d}"
                (self.folder / f"karyograms/{uid}.json").write_text(
                    proposal_text(uid, iscn, seconds), encoding="utf-8"
                )
                casebook.record_karyotype(self.uid, KaryotypeRecord(
                    uid, KaryotypeStatus.PROPOSED, seconds, iscn, 46, f"karyograms/{uid}.json",
                    f"karyograms/{uid}.png",
                ))  # fmt: skip

    def finish(self, status: RunStatus = RunStatus.COMPLETED) -> None:
        with open_casebook(self.folder / "casebook.sqlite") as casebook:
            casebook.finish_run(self.uid, status, BEGAN + timedelta(hours=1))


def finished_run(
    folder: Path, uid: str = "run-1", *, slide: str = "B1", accession: str = "24-0117", cells: int = 3
) -> RunOfTest:
    run = RunOfTest(folder, uid, slide, accession)
    run.begin()
    run.find(cells + 2)
    run.capture(1, cells)
    run.karyotype(1, cells)
    run.finish()
    return run


def proposal_text(uid: str, iscn: str, seconds: float) -> str:
    return json.dumps(
        {
            "format": "karyoscan-proposal", "version": 2, "image": f"../captures/{uid}.ome.tiff",
            "image_sha256": "0" * 64, "width_px": 10, "height_px": 10, "iscn": iscn, "seconds": seconds,
            "edited": False, "complete": False, "proposed_objects": 0, "chromosomes": [],
            "verdict": {"level": "must review", "mostly_confirmed": False, "reasons": [
                {"finding": "no_chromosomes", "text": "nothing", "review": True}
            ]},
            "proposed_verdict": None, "banding": None, "protocol_banding": None, "band_level": None,
            "homologues": [], "hypothesis": "XX", "margin": 1.0, "losses_believed": None, "left_out": [],
            "weights": {},
        }
    )  # fmt: skip
