from dataclasses import replace

import pytest

from scanner.coordinates import StagePoint
from scanner.stillness import StillnessVerdict, prove_stillness


def at_a_cell(bench) -> None:
    cell = bench.twin.truth()[0]
    bench.microscope.move_to(StagePoint(cell.slide_x_um, cell.slide_y_um))
    bench.microscope.focus_to(bench.twin.sharp_um(bench.twin.objective))


def test_a_stage_at_rest_is_proven_still(bench) -> None:
    at_a_cell(bench)
    with bench.microscope.lit():
        found = prove_stillness(bench.microscope, 8.0)
    assert found.verdict is StillnessVerdict.STILL
    assert found.shift_um == pytest.approx(0.0, abs=0.05)


def test_a_creeping_stage_is_caught_though_its_reading_is_in_tolerance(bench) -> None:
    at_a_cell(bench)
    microscope, twin = bench.microscope, bench.twin
    snap = microscope.snap

    def snap_and_creep(exposure_ms: float) -> object:
        frame = snap(exposure_ms)
        x_um, y_um = twin.stage_um()
        twin.move_stage(x_um + 0.9, y_um, "XY")
        return frame

    microscope.snap = snap_and_creep
    with microscope.lit():
        found = prove_stillness(microscope, 8.0)
    assert found.verdict is StillnessVerdict.MOVED
    assert found.shift_um == pytest.approx(0.9, abs=0.05)


def test_an_empty_field_decides_nothing(bench) -> None:
    bench.twin.settings = replace(bench.twin.settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
    bench.microscope.move_to(StagePoint(50_000.0, 13_000.0))
    with bench.microscope.lit():
        found = prove_stillness(bench.microscope, 8.0)
    assert found.verdict is StillnessVerdict.UNDECIDED
    assert found.shift_um is None


def test_pictures_of_different_places_count_as_moved(bench) -> None:
    at_a_cell(bench)
    microscope, twin = bench.microscope, bench.twin
    snap = microscope.snap

    def snap_elsewhere(exposure_ms: float) -> object:
        frame = snap(exposure_ms)
        twin.settings = replace(twin.settings, seed=twin.settings.seed + 1)
        return frame

    microscope.snap = snap_elsewhere
    with microscope.lit():
        assert prove_stillness(microscope, 8.0).verdict is StillnessVerdict.MOVED
