"""The file of a proposal: what it keeps, how it is bound to its picture, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from analysis.errors import ProposalFileError
from analysis.imaging.background import estimate_background
from analysis.karyotyping.iscn import LOSSES_BELIEVED
from analysis.karyotyping.proposal_file import read_proposal, write_proposal
from analysis.karyotyping.proposal_text import MAX_BYTES
from analysis.karyotyping.run_lengths import decode_run_lengths, encode_run_lengths
from analysis.structures.band_reading import (
    BandReading,
    CutDefect,
    HomologueDifference,
    NotCompared,
    Rearrangement,
)
from analysis.structures.banding import BandingEstimate, BandingKind, BandLevel
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.review import ReviewFinding, ReviewLevel, ReviewReason, ReviewVerdict
from analysis.structures.segmentation import UnselectedProposal

NAMES = [str(number) for number in range(1, 23) for _ in range(2)] + ["X", "X"]
FLAGGED = ReviewReason(ReviewFinding.ABNORMAL, "not a normal set: +X", True)
CHECKED = ReviewReason(ReviewFinding.DOUBTFUL, "2 chromosomes below 90 % certainty", False)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def full(tmp_path: Path) -> Karyotype:
    """A whole cell with something in every field that a file keeps."""
    pixels = np.full((160, 480), 225, np.uint8)
    entries = []
    for k, name in enumerate(NAMES):
        y, x = 10 + 76 * (k // 23), 8 + 20 * (k % 23)
        pixels[y : y + 60, x : x + 9] = 90 + k
        mask = np.ones((60, 9), np.bool_)
        mask[0, : k % 5] = False
        extent_px = (x - 0.25, y - 1.5, x + 9.25, y + 60.0)
        instance = Instance(
            (x, y, x + 9, y + 60), mask, 0.9375, SegmentationRoute.DETECTOR_MASK_NET, (k + 1,), None, extent_px
        )
        entries.append(KaryotypedChromosome(k, name, 0.97, instance, k % 3 == 0))
    cv2.imwrite(str(tmp_path / "cell.png"), pixels)
    differs = HomologueDifference(
        "5", (8, 9), 9, 3.25, 0.0125, True, Rearrangement.DELETION, 0.25, 0.5, "5q13-q22"
    )
    bands = BandReading(
        BandLevel(550, 500, 610, 390.25),
        (differs,),
        (NotCompared("2", (2, 3), ((2, CutDefect.HIDDEN),)),),
        tuple(CutDefect.HIDDEN if k == 2 else None for k in range(len(entries))),
    )
    return Karyotype(
        image=GreyImage(pixels, str(tmp_path / "cell.png")),
        background=estimate_background(pixels),
        chromosomes=tuple(entries),
        iscn=IscnResult("46,XX"),
        hypothesis="XX",
        margin=4.5,
        seconds=0.75,
        verdict=ReviewVerdict((FLAGGED, CHECKED)),
        left_out=(UnselectedProposal((1.5, 2.0, 20.25, 30.0), 0.125),),
        banding=BandingEstimate(BandingKind.G, 0.95, "like G", {"G": 0.7, "R": 0.2}),
        bands=bands,
        protocol_banding="G",
        losses_believed=LOSSES_BELIEVED,
        weights={"classifier": "ab" * 32},
    )


@pytest.fixture
def path(full: Karyotype, tmp_path: Path) -> Path:
    write_proposal(full, tmp_path / "cell.json")
    return tmp_path / "cell.json"


def edit(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_an_unedited_file_is_written_as_it_was_read(full: Karyotype, path: Path, tmp_path: Path) -> None:
    again = read_proposal(path)
    write_proposal(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert again.verdict.reasons == (FLAGGED, CHECKED)
    assert again.bands == full.bands
    assert (again.banding, again.hypothesis, again.margin) == (full.banding, "XX", 4.5)
    assert (again.left_out, again.weights, again.losses_believed) == (full.left_out, full.weights, LOSSES_BELIEVED)
    assert again.chromosomes[3].instance.extent_px == full.chromosomes[3].instance.extent_px
    assert again.chromosomes[3].instance.route is SegmentationRoute.DETECTOR_MASK_NET
    assert again.iscn.text == "46,XX"


def test_an_edited_file_is_written_as_it_was_read_too(path: Path, tmp_path: Path) -> None:
    edit(path, lambda content: content["chromosomes"][4].update({"class": "X", "confirmed": True}))
    first = read_proposal(path)
    write_proposal(first, tmp_path / "first.json")
    write_proposal(read_proposal(tmp_path / "first.json"), tmp_path / "second.json")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert first.proposed_verdict == ReviewVerdict((FLAGGED, CHECKED))
    assert ReviewFinding.EDITED in {reason.finding for reason in first.verdict.reasons}
    assert first.chromosomes[2].instance.score == 0.9375


def test_an_edit_that_is_taken_back_leaves_the_verdict_of_the_software(path: Path, tmp_path: Path) -> None:
    edit(path, lambda content: content["chromosomes"][4].update({"class": "X"}))
    write_proposal(read_proposal(path), tmp_path / "b.json")
    edit(tmp_path / "b.json", lambda content: content["chromosomes"][4].update({"class": "3"}))
    again = read_proposal(tmp_path / "b.json")
    assert not again.edited
    assert again.verdict == ReviewVerdict((FLAGGED, CHECKED))
    assert again.proposed_verdict is None


def test_records_of_an_editor_survive(path: Path, tmp_path: Path) -> None:
    records = [{"action": "class", "from": "3", "to": "X", "by": "N. N.", "at": None, "certain": True, "n": 2}]
    edit(path, lambda content: content["chromosomes"][4].update({"class": "X", "edits": records}))
    write_proposal(read_proposal(path), tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["chromosomes"][4]["edits"] == records
    assert content["chromosomes"][5]["edits"] == []


def test_a_record_of_an_editor_is_an_edit(path: Path) -> None:
    edit(path, lambda content: content["chromosomes"][4].update(edits=[{"action": "outline"}]))
    again = read_proposal(path)
    assert again.edited
    assert ReviewFinding.EDITED in {reason.finding for reason in again.verdict.reasons}


def test_what_the_file_says_of_iscn_is_not_believed(path: Path) -> None:
    edit(path, lambda content: content.update(iscn="45,X"))
    assert read_proposal(path).iscn.text == "46,XX"


def test_no_absolute_path_is_written(path: Path, tmp_path: Path) -> None:
    content = json.loads(path.read_text())
    assert (content["format"], content["version"], content["image"]) == ("karyoscan-proposal", 2, "cell.png")
    assert str(tmp_path) not in path.read_text()
    write_proposal(read_proposal(path), tmp_path / "out" / "cell.json")
    assert json.loads((tmp_path / "out" / "cell.json").read_text())["image"] == "../cell.png"
    assert read_proposal(tmp_path / "out" / "cell.json").image.width_px == 480


def test_the_picture_is_found_beside_the_file_once_both_were_moved(path: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    edit(path, lambda content: content.update(image="C:\\slides\\night 3\\cell.png"))
    shutil.move(path, away / "cell.json")
    with pytest.raises(ProposalFileError, match="put it back or beside this file"):
        read_proposal(away / "cell.json")
    shutil.move(tmp_path / "cell.png", away / "cell.png")
    assert read_proposal(away / "cell.json").iscn.text == "46,XX"


def test_another_picture_of_the_same_size_is_refused(full: Karyotype, path: Path) -> None:
    other = full.image.pixels.copy()
    other[5, 5] -= 1
    cv2.imwrite(str(path.with_name("cell.png")), other)
    with pytest.raises(ProposalFileError, match="isn't the picture that this proposal is of") as caught:
        read_proposal(path)
    assert caught.value.place == "image_sha256"
    with pytest.raises(ProposalFileError, match="put the original back"):
        read_proposal(path, GreyImage(other, "other.png"))
    assert read_proposal(path, full.image).iscn.text == "46,XX"


def test_a_picture_whose_name_is_not_utf8_is_found_again(full: Karyotype, tmp_path: Path) -> None:
    name = os.fsdecode(b"uml_\xfc.png")
    try:
        shutil.copy(tmp_path / "cell.png", tmp_path / name)
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    source = replace(full.image, source=str(tmp_path / name))
    write_proposal(replace(full, image=source), tmp_path / "a.json")
    (tmp_path / "cell.png").unlink()
    assert json.loads((tmp_path / "a.json").read_text())["image"] == "uml_%FC.png"
    assert read_proposal(tmp_path / "a.json").image.source == str(tmp_path / name)


def mask_of(content: dict[str, Any], number: int, full_mask: np.ndarray) -> None:
    whole = encode_run_lengths(full_mask, (0, 0, 480, 160), 160, 480)
    content["chromosomes"][number]["mask"]["counts"] = whole


def first_mask_everywhere(content: dict[str, Any]) -> None:
    first = content["chromosomes"][0]
    for entry in content["chromosomes"][1:]:
        entry["mask"], entry["box_px"] = first["mask"], first["box_px"]


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (
            lambda c: c["chromosomes"][3].update(confirmd=True),
            "chromosomes[3].confirmd",
            "did you mean 'confirmed'",
        ),
        (lambda c: c.update(compleat=True), "compleat", "unknown key; did you mean 'complete'?"),
        (lambda c: c["verdict"].update(levle="auto"), "verdict.levle", "did you mean 'level'?"),
        (lambda c: c["homologues"][1].update(flaged=False), "homologues[1].flaged", "did you mean 'flagged'?"),
        (lambda c: c["chromosomes"][1].update(id=0), "chromosomes[1].id", "the id of chromosomes[0] too"),
        (
            lambda c: c["chromosomes"][0].update(probability=5),
            "chromosomes[0].probability",
            "less than or equal to 1",
        ),
        (
            lambda c: c["chromosomes"][0].update(probability=-1),
            "chromosomes[0].probability",
            "greater than or equal",
        ),
        (
            lambda c: c["chromosomes"][2].update(box_px=[48.5, 10, 57, 70]),
            "chromosomes[2].box_px[0]",
            "whole number",
        ),
        (lambda c: c["chromosomes"][2].update(box_px=[57, 10, 48, 70]), "chromosomes[2].box_px", "isn't a box"),
        (lambda c: c["chromosomes"][2].update(box_px=[48, 11, 57, 70]), "chromosomes[2].mask", "beyond its box"),
        (
            lambda c: c["chromosomes"][2].update(box_px=[48, 10, 57, 900]),
            "chromosomes[2].box_px",
            "within the picture",
        ),
        (lambda c: c["chromosomes"][2].update({"class": "24"}), "chromosomes[2].class", "there is no class '24'"),
        (lambda c: c["chromosomes"][2]["mask"].update(counts="0\x00"), "chromosomes[2].mask.counts", "damaged"),
        (
            lambda c: c["chromosomes"][2]["mask"].update(counts="ooooooooooo"),
            "chromosomes[2].mask.counts",
            "damaged",
        ),
        (
            lambda c: c["chromosomes"][2]["mask"].update(counts="52203"),
            "chromosomes[2].mask.counts",
            "those of an image",
        ),
        (first_mask_everywhere, "chromosomes[1].mask", "is the mask of chromosomes[0] too"),
        (lambda c: mask_of(c, 7, np.zeros((160, 480), np.bool_)), "chromosomes[7].mask", "mask is empty"),
        (lambda c: c.pop("verdict"), "verdict", "is missing"),
        (lambda c: c["verdict"].update(level="auto"), "verdict.level", "its reasons ask for 'must review'"),
        (lambda c: c["verdict"]["reasons"][0].pop("review"), "verdict.reasons[0].review", "is missing"),
        (lambda c: c.pop("image_sha256"), "image_sha256", "is missing"),
        (lambda c: c.update(image_sha256=None), "image_sha256", "isn't a text"),
        (lambda c: c.update(version=3), "version", "reads up to 2"),
        (
            lambda c: c["homologues"][0].update(chromosomes=[2, 99]),
            "homologues[0].chromosomes",
            "46 chromosomes only",
        ),
        (lambda c: c["chromosomes"][0].update(edits=[{"a": []}]), "", "edits"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(change: Change, place: str, problem: str, path: Path) -> None:
    edit(path, change)
    with pytest.raises(ProposalFileError, match=re.escape(problem)) as caught:
        read_proposal(path)
    if place:
        assert caught.value.place == place
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[]", "no JSON object"),
        ("{}", "isn't a karyotype proposal"),
        ('{"format": "karyoscan-proposal", "version": 2, "margin": NaN}', "NaN isn't a finite number"),
        ('{"format": "karyoscan-proposal", "version": 2, "margin": 1e999}', "isn't a finite number"),
        ('{"image": "a", "image": "b"}', "'image' stands twice"),
        ("\udcff", "isn't a text of UTF-8"),
    ],
)
def test_texts_that_are_no_proposal_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ProposalFileError, match=problem):
        read_proposal(tmp_path / "a.json")


def test_a_file_without_an_end_is_not_read(path: Path, tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ProposalFileError, match=f"no proposal has more than {MAX_BYTES}"):
        read_proposal(tmp_path / "large.json")
    with pytest.raises(ProposalFileError, match="isn't a regular file"):
        read_proposal(tmp_path)
    if not hasattr(os, "mkfifo"):
        return
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ProposalFileError, match="isn't a regular file"):
        read_proposal(tmp_path / "pipe")
    edit(path, lambda content: content.update(image="pipe"))
    with pytest.raises(ProposalFileError, match="image: isn't a regular file"):
        read_proposal(path)


def first_version(content: dict[str, Any]) -> None:
    """Make a file of what version 1 kept of it."""
    kept = ("image", "width_px", "height_px", "iscn", "seconds", "edited", "complete", "proposed_objects")
    kept += ("chromosomes", "verdict", "banding", "band_level", "homologues")
    for key in set(content) - set(kept):
        del content[key]
    for entry in content["chromosomes"]:
        for key in ("score", "route", "extent_px", "edits"):
            del entry[key]
    content["verdict"].pop("mostly_confirmed")
    for reason in content["verdict"]["reasons"]:
        del reason["review"]
    content["homologues"] = [{"class": "5", "chromosomes": [8, 9], "words": "check 5q13-q22"}]


def test_files_of_the_first_version_are_read(path: Path, tmp_path: Path) -> None:
    edit(path, first_version)
    again = read_proposal(path)
    assert again.iscn.text == "46,XX"
    assert again.verdict.level is ReviewLevel.MUST_REVIEW
    # Which of the reasons takes the review is known of the one that always does.
    assert again.verdict.reasons == (FLAGGED, CHECKED)
    assert again.chromosomes[2].instance.route is SegmentationRoute.PROPOSAL_FILE
    write_proposal(again, tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["version"] == 2
    assert read_proposal(tmp_path / "b.json").verdict == again.verdict


def test_the_first_version_is_no_way_round_a_review(path: Path) -> None:
    edit(path, first_version)
    edit(path, lambda content: content["chromosomes"][3].update(confirmd=True))
    with pytest.raises(ProposalFileError, match="did you mean 'confirmed'"):
        read_proposal(path)
    edit(path, lambda content: content["chromosomes"][3].pop("confirmd"))
    edit(path, lambda content: content["verdict"].update(level="auto"))
    with pytest.raises(ProposalFileError, match="its reasons ask for 'must review'"):
        read_proposal(path)
    edit(path, lambda content: content.pop("verdict"))
    with pytest.raises(ProposalFileError, match="verdict: is missing"):
        read_proposal(path)


def test_a_review_that_only_numbers_asked_for_is_kept_from_the_first_version(full: Karyotype, path: Path) -> None:
    many = ReviewReason(ReviewFinding.DOUBTFUL, "9 chromosomes below 90 % certainty", True)
    write_proposal(replace(full, verdict=ReviewVerdict((many,))), path)
    edit(path, first_version)
    assert read_proposal(path).verdict == ReviewVerdict((many,))


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_those_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height_px, width_px = (int(side) for side in rng.integers(1, 90, 2))
    mask = rng.random((height_px, width_px)) < rng.random()
    counts = encode_run_lengths(mask, (0, 0, width_px, height_px), height_px, width_px)
    assert np.array_equal(decode_run_lengths(counts, height_px, width_px), mask)
    with pytest.raises(ValueError, match="those of an image"):
        decode_run_lengths(counts, height_px + 1, width_px)
