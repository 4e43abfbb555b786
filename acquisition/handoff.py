"""Captures go to the analysis as path and id, and come back as files and a short answer."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.errors import StorageError
from acquisition.records import KaryotypeRecord, KaryotypeStatus
from acquisition.workers import DEADLINE_S, Workers, prepare_process, spawned
from analysis.errors import AnalysisError, ImageError
from analysis.imaging.image_file import read_image

# The nets come with torch, which takes seconds and hundreds of megabytes: only a worker that karyotypes pays them.
if TYPE_CHECKING:
    from analysis.karyotyping.pipeline import Karyotyper

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KaryotypeTask:
    """One capture to karyotype.

    Attributes
    ----------
    capture_uid
        Identity; the results carry it.
    run_dir
        Folder of the run.
    capture
        Path of the picture, relative to `run_dir`.
    banding
        What the protocol says the chromosomes are stained with; None leaves it to the picture.
    sha256
        What was recorded of the picture, hexadecimal: one that differs is not karyotyped; None checks nothing.
    accession
        Written on the karyogram; empty where nobody said.
    """

    capture_uid: str
    run_dir: str
    capture: str
    banding: str | None = None
    sha256: str | None = None
    accession: str = ""


Work = Callable[[KaryotypeTask], KaryotypeRecord]


@lru_cache(maxsize=1)
def _karyotyper() -> Karyotyper:
    # One load of the weights a worker process, not one a cell; nothing else lives in a worker.
    import torch

    from analysis.karyotyping.pipeline import load_karyotyper

    # Workers share the cores.
    torch.set_num_threads(1)
    return load_karyotyper()


def karyotype_capture(task: KaryotypeTask) -> KaryotypeRecord:
    """Karyotype one capture and write ``karyograms/<uid>.json`` and ``.png``.

    Doing it twice gives the same files, each written whole.

    Returns
    -------
    KaryotypeRecord
        ``REFUSED`` with the reason where the picture shows no usable metaphase, ``FAILED`` where the analysis
        broke.
    """
    from analysis.karyogram.karyotype_picture import write_karyotype
    from analysis.karyogram.sheet import SheetOptions

    start_s = time.perf_counter()
    run_dir = Path(task.run_dir)
    json_path = run_dir / "karyograms" / f"{task.capture_uid}.json"
    picture_path = json_path.with_suffix(".png")
    try:
        _require_recorded(run_dir / task.capture, task.sha256)
        karyotype = _karyotyper().karyotype(read_image(run_dir / task.capture), banding=task.banding)
        write_karyotype(karyotype, json_path, picture_path, SheetOptions(accession=task.accession))
    except ImageError as error:
        return _without_result(task, KaryotypeStatus.REFUSED, error, start_s)
    except (AnalysisError, StorageError, OSError) as error:
        return _without_result(task, KaryotypeStatus.FAILED, error, start_s)
    except Exception as error:  # noqa: BLE001 - one cell's failure is recorded and never ends the run
        _log.exception("karyotyping %s", task.capture_uid)
        return _without_result(task, KaryotypeStatus.FAILED, error, start_s)
    return KaryotypeRecord(
        capture_uid=task.capture_uid,
        status=KaryotypeStatus.PROPOSED,
        seconds=time.perf_counter() - start_s,
        iscn=karyotype.iscn.text,
        chromosomes=len(karyotype.chromosomes),
        json_path=str(json_path.relative_to(run_dir)),
        picture_path=str(picture_path.relative_to(run_dir)),
    )


def _require_recorded(path: Path, sha256: str | None) -> None:
    if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise StorageError("is not the picture that was recorded (SHA-256 differs)", path=path)


def _without_result(
    task: KaryotypeTask, status: KaryotypeStatus, error: Exception, start_s: float
) -> KaryotypeRecord:
    text = str(error).strip().splitlines()
    reason = text[0] if text else type(error).__name__
    return KaryotypeRecord(task.capture_uid, status, time.perf_counter() - start_s, error=reason)


def process_pool(workers: int) -> Executor:
    """Worker processes on this machine that karyotype."""
    return spawned(workers, prepare_process)


class Handoff(Workers[KaryotypeTask, KaryotypeRecord]):
    """Gives captures to workers while the scan goes on, and collects their answers.

    A capture on which workers died is answered as failed; how often it is tried again is for the run to decide.

    Parameters
    ----------
    make_executor
        Makes the workers; called again when they died.
    workers
        Captures given to the executor at a time.
    work
        What a worker does with a task; has to be importable by name.
    retries
        How often a capture whose worker died or hung is given to a new one before it is answered as failed.
    deadline_s
        A worker that takes longer for a capture is killed.
    """

    def __init__(
        self,
        make_executor: Callable[[], Executor],
        *,
        workers: int = 1,
        work: Work = karyotype_capture,
        retries: int = 0,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        super().__init__(
            make_executor, work, at_a_time=workers, lost=_lost, retries=retries, deadline_s=deadline_s
        )


def _lost(task: KaryotypeTask, error: BaseException) -> KaryotypeRecord:
    return KaryotypeRecord(
        task.capture_uid, KaryotypeStatus.FAILED, 0.0, error=f"the analysis died on it: {error}"
    )
