from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from analysis.errors import DatasetError
from analysis.imaging.background import estimate_background
from analysis.imaging.image_file import read_image
from analysis.karyogram.karyotype_picture import write_karyotype
from analysis.karyogram.sheet import FOOTER_EDITED, karyogram_sheet, mark_of
from analysis.karyogram.sheet_geometry import ReviewMark
from analysis.karyotyping.iscn import compose_iscn
from analysis.karyotyping.proposal_file import proposal_model, read_proposal, write_proposal
from analysis.metrics.interactions import count_interactions
from analysis.structures.band_reading import BandReading, CutDefect
from analysis.structures.classes import MARKER
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.review import ReviewFinding, ReviewLevel, ReviewReason, ReviewVerdict


def as_plain_data(karyotype: Karyotype) -> dict[str, Any]:
    return proposal_model(karyotype).model_dump(mode="json", by_alias=True)


@pytest.fixture
def proposal(tmp_path: Path) -> Karyotype:
    rng = np.random.default_rng(4)
    pixels = np.full((200, 260), 225, np.uint8)
    chromosomes = []
    for k, name in enumerate(("1", "1", "X")):
        y, x, height, width = 20 + 5 * k, 30 + 70 * k, 90 - 20 * k, 14
        mask = np.ones((height, width), np.bool_)
        mask[:3, :4] = False
        pixels[y : y + height, x : x + width] = np.where(mask, rng.integers(60, 150, (height, 1)), 225)
        instance = Instance((x, y, x + width, y + height), mask, 1.0, SegmentationRoute.SINGLE)
        chromosomes.append(KaryotypedChromosome(k, name, 0.75 + 0.1 * k, instance, k == 1))
    path = tmp_path / "cell.png"
    cv2.imwrite(str(path), pixels)
    verdict = ReviewVerdict((ReviewReason(ReviewFinding.TOO_FEW, "3 chromosomes are no whole cell", True),))
    image = GreyImage(pixels, str(path))
    background = estimate_background(pixels)
    return Karyotype(image, background, tuple(chromosomes), compose_iscn(["1", "1", "X"]), "XX", 0.0, 0.5, verdict)


def test_an_unedited_proposal_comes_back_as_it_was(proposal: Karyotype, tmp_path: Path) -> None:
    write_karyotype(proposal, tmp_path / "cell.json", tmp_path / "cell.karyogram.png")
    again = read_proposal(tmp_path / "cell.json")
    assert as_plain_data(again) == as_plain_data(proposal)
    assert again.verdict == proposal.verdict
    write_karyotype(again, tmp_path / "b.json", tmp_path / "b.karyogram.png")
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "cell.json").read_bytes()
    assert (tmp_path / "b.karyogram.png").read_bytes() == (tmp_path / "cell.karyogram.png").read_bytes()


def test_the_plane_of_a_stack_and_what_was_said_of_it_are_kept(proposal: Karyotype, tmp_path: Path) -> None:
    pixels = proposal.image.pixels
    stack = tmp_path / "stack.tif"
    # The other plane is sharper: only the record says which one it was.
    sharper = np.where(np.indices(pixels.shape).sum(axis=0) % 2 == 0, pixels, 255 - pixels)
    tifffile.imwrite(stack, np.stack([sharper, pixels]), photometric="minisblack")
    taken = read_image(stack, 2)
    write_proposal(replace(proposal, image=taken), tmp_path / "stack.json")
    content = json.loads((tmp_path / "stack.json").read_text())
    assert (content["picture_remarks"], content["picture_plane"]) == (["plane 2 of 2, as asked"], 2)
    again = read_proposal(tmp_path / "stack.json")
    assert (again.image.remarks, again.image.plane) == (taken.remarks, 2)
    assert np.array_equal(again.image.pixels, taken.pixels)


def test_edits_are_taken_up(proposal: Karyotype, tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    write_karyotype(proposal, path, tmp_path / "cell.karyogram.png")
    content = json.loads(path.read_text())
    content["iscn"] = "46,XX"
    content["chromosomes"][0]["class"] = "2"
    content["chromosomes"][0]["flipped"] = True
    del content["chromosomes"][1]
    path.write_text(json.dumps(content))
    edited = read_proposal(path)
    assert [(entry.id, entry.class_name, entry.flipped) for entry in edited.chromosomes] == [
        (0, "2", True),
        (2, "X", False),
    ]
    assert edited.iscn.text is None


def test_what_is_like_no_class_can_be_moved_to_the_place_of_markers(unreadable: Path, tmp_path: Path) -> None:
    content = json.loads(unreadable.read_text())
    names = [*NORMAL[:6], *NORMAL[7:], MARKER]
    for entry, name in zip(content["chromosomes"], names, strict=True):
        entry["class"] = name
    unreadable.write_text(json.dumps(content))
    edited = read_proposal(unreadable)
    assert edited.iscn.text == "46,XY,-4,+mar"
    assert "not a normal set: -4, +mar" in edited.verdict.reasons_text
    sheet = karyogram_sheet(edited)
    (place,) = [tile.box for tile in sheet.tiles if tile.item.class_name == MARKER]
    label = {word.text: word for word in sheet.texts}
    assert place.y > label["Y"].y
    assert abs(place.x + place.width / 2 - label[MARKER].x) < 1.0
    assert sheet.texts[-1].text == FOOTER_EDITED
    write_karyotype(edited, tmp_path / "b.json", tmp_path / "b.karyogram.png")
    again = read_proposal(tmp_path / "b.json")
    assert as_plain_data(again) == as_plain_data(edited)
    assert again.chromosomes[-1].proposed == ("?", False)
    for wrong in ("marker", "23", "", None):
        content["chromosomes"][0]["class"] = wrong
        unreadable.write_text(json.dumps(content))
        with pytest.raises(DatasetError, match="there is no class"):
            read_proposal(unreadable)


def test_flips_are_counted_apart_from_moves() -> None:
    areas = np.full(3, 100.0)
    edits = count_interactions(
        np.diag(areas), areas, areas, ["1", "2", "X"], ["2", "1", "X"], turned=[False, True, True]
    )
    assert (edits.moves, edits.flips, edits.total) == (1, 2, 1)


WITHHELD = ReviewReason(ReviewFinding.NO_BANDS, "the chromosomes show no bands", True)
NORMAL = [str(number) for number in range(1, 23) for _ in range(2)] + ["X", "Y"]


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A whole cell whose karyotype is withheld."""
    pixels = np.full((160, 480), 225, np.uint8)
    chromosomes = []
    for k in range(46):
        y, x = 10 + 76 * (k // 23), 8 + 20 * (k % 23)
        pixels[y : y + 60, x : x + 9] = 90
        instance = Instance((x, y, x + 9, y + 60), np.ones((60, 9), np.bool_), 1.0, SegmentationRoute.SINGLE)
        chromosomes.append(KaryotypedChromosome(k, "?", 0.3, instance, False))
    cv2.imwrite(str(tmp_path / "cell.png"), pixels)
    image = GreyImage(pixels, str(tmp_path / "cell.png"))
    background = estimate_background(pixels)
    nothing = IscnResult(None, WITHHELD.text)
    cell = Karyotype(image, background, tuple(chromosomes), nothing, "", 0.0, 0.5, ReviewVerdict((WITHHELD,)))
    write_karyotype(cell, tmp_path / "cell.json", tmp_path / "cell.karyogram.png")
    return tmp_path / "cell.json"


def _name(path: Path, count: int) -> None:
    content = json.loads(path.read_text())
    for entry, name in zip(content["chromosomes"][:count], NORMAL, strict=False):
        entry["class"] = name
    path.write_text(json.dumps(content))


def test_what_was_withheld_stays_withheld_where_most_was_not_looked_at(unreadable: Path) -> None:
    assert read_proposal(unreadable).iscn == IscnResult(None, WITHHELD.text)
    _name(unreadable, 20)
    edited = read_proposal(unreadable)
    assert edited.iscn.text is None
    assert WITHHELD.text in edited.iscn.reason
    assert "20 of 46 objects" in edited.verdict.reasons_text


def test_what_a_person_named_is_told_and_the_record_says_so(unreadable: Path, tmp_path: Path) -> None:
    _name(unreadable, 46)
    edited = read_proposal(unreadable)
    assert edited.iscn.text == "46,XY"
    assert edited.verdict.level is ReviewLevel.MUST_REVIEW
    assert WITHHELD in edited.verdict.reasons
    assert karyogram_sheet(edited).texts[-1].text == FOOTER_EDITED
    write_karyotype(edited, tmp_path / "b.json", tmp_path / "b.karyogram.png")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["edited"] is True
    assert content["chromosomes"][0]["proposed"]["class"] == "?"
    assert as_plain_data(read_proposal(tmp_path / "b.json")) == as_plain_data(edited)


def test_a_deleted_or_turned_chromosome_is_an_edit_and_a_confirmed_one_is_sure(
    proposal: Karyotype, tmp_path: Path
) -> None:
    path = tmp_path / "cell.json"
    write_karyotype(proposal, path, tmp_path / "cell.karyogram.png")
    fresh = json.loads(path.read_text())
    assert not read_proposal(path).edited
    for change in (
        lambda content: content["chromosomes"].pop(),
        lambda content: content["chromosomes"][0].update(flipped=True),
        lambda content: content["chromosomes"][0].update(confirmed=True),
    ):
        content = json.loads(json.dumps(fresh))
        change(content)
        path.write_text(json.dumps(content))
        assert read_proposal(path).edited
    first = read_proposal(path).chromosomes[0]
    assert mark_of(proposal.chromosomes[0]) is ReviewMark.CHECK
    assert mark_of(first) is ReviewMark.NONE


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: c.update(height_px=7), "another size"),
        (lambda c: c["chromosomes"][0].update({"class": "23"}), "no class '23'"),
        (lambda c: c["chromosomes"][0].update(flipped="yes"), "neither true nor false"),
        (lambda c: c["chromosomes"][0].update(box_px=[0, 0, 900, 9]), "within the picture"),
        (lambda c: c["chromosomes"][0].update(box_px=[0, 0, 3, 3]), "mask is empty"),
        (lambda c: c.pop("chromosomes"), "isn't a karyotype proposal"),
    ],
)
def test_files_that_are_no_proposal_are_refused(
    change: object, word: str, proposal: Karyotype, tmp_path: Path
) -> None:
    path = tmp_path / "cell.json"
    write_karyotype(proposal, path, tmp_path / "cell.karyogram.png")
    content = json.loads(path.read_text())
    assert callable(change)
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=word):
        read_proposal(path)


def test_why_a_chromosome_is_not_compared_is_kept(proposal: Karyotype, tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    write_karyotype(proposal, path, tmp_path / "cell.karyogram.png")
    content = json.loads(path.read_text())
    assert [entry["not_compared"] for entry in content["chromosomes"]] == [None] * 3
    for entry, doubt in zip(
        content["chromosomes"], (CutDefect.HIDDEN, CutDefect.TURNED, CutDefect.TURNED), strict=True
    ):
        entry["not_compared"] = doubt.value
    content["chromosomes"][2]["confirmed"] = True
    given: list[object] = []

    def read_bands(*_: object, recorded_defects: list[CutDefect | None], **__: object) -> BandReading:
        given.extend(recorded_defects)
        return BandReading(defects=tuple(recorded_defects))

    path.write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.karyotyping.completion.read_bands", read_bands)
        again = read_proposal(path)
    # Which way up it stands is no doubt any more where a person looked.
    assert given == [CutDefect.HIDDEN, CutDefect.TURNED, None]
    assert as_plain_data(again)["chromosomes"][0]["not_compared"] == CutDefect.HIDDEN.value
    content["chromosomes"][0]["not_compared"] = "whim"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="whim"):
        read_proposal(path)


def test_what_was_not_found_is_lost_once_a_person_says_that_none_was_missed(
    proposal: Karyotype, tmp_path: Path
) -> None:
    def with_classes(names: list[str]) -> Karyotype:
        first = proposal.chromosomes[0]
        xmin, ymin, xmax, ymax = first.instance.box_px
        entries = tuple(
            replace(
                first,
                id=k,
                class_name=name,
                probability=0.999,
                instance=replace(first.instance, box_px=(xmin + k, ymin, xmax + k, ymax)),
            )
            for k, name in enumerate(names)
        )
        missed = ReviewReason(
            ReviewFinding.MISSING_CLASSES, "nothing found for 22: lost, or missed by the software", True
        )
        text = compose_iscn(names, losses_believed=0)
        verdict = ReviewVerdict((missed,))
        return replace(proposal, chromosomes=entries, iscn=text, verdict=verdict, losses_believed=0)

    names = [*(str(n) for n in range(1, 22) for _ in range(2)), "22", "X", "X"]
    path = tmp_path / "cell.json"
    write_karyotype(with_classes(names), path, tmp_path / "cell.karyogram.png")
    unedited = read_proposal(path)
    assert unedited.iscn.text == "45,XX,inc"
    assert not unedited.edited
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "complete": True}))
    told = read_proposal(path)
    assert told.iscn.text == "45,XX,-22"
    assert told.edited
    assert as_plain_data(told)["complete"] is True
    path.write_text(json.dumps({**content, "complete": "yes"}))
    with pytest.raises(DatasetError, match="complete: is neither true nor false"):
        read_proposal(path)
