"""Other explanations of a pile, cut into chromosomes, and kept in the proposal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from analysis.classification.classifier import Classifier
from analysis.errors import ProposalFileError
from analysis.imaging.image_file import to_grey
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.proposal_file import read_proposal, write_proposal
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.pile_explanations import explain_piles
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.selection.alternatives import PileAlternative, PileAlternatives
from analysis.structures.grey_image import GreyImage
from simulators.specimen.cell import render_cell


@pytest.fixture(scope="module")
def image() -> GreyImage:
    rng = np.random.default_rng(11)
    cell = render_cell([*(str(k) for k in range(1, 23)), "X"] * 2, rng)
    light = 230.0 * 10.0 ** -cv2.GaussianBlur(cell.od, (0, 0), 1.0)
    return to_grey(np.clip(light + rng.normal(0.0, 2.0, light.shape), 0, 255).astype(np.uint8), "drawn.png")


@pytest.fixture(scope="module")
def segmentation(image: GreyImage) -> RevisableSegmentation:
    torch.set_num_threads(1)
    made = load_detector_segmenter()(image)
    assert isinstance(made, RevisableSegmentation)
    return made


def with_alternatives(
    segmentation: RevisableSegmentation, *alternatives: PileAlternative
) -> RevisableSegmentation:
    rows = (segmentation.rows[0],)
    return replace(segmentation, alternatives=(PileAlternatives(rows, 0.7, alternatives),))


def test_an_explanation_without_a_chromosome_leaves_the_others(segmentation: RevisableSegmentation) -> None:
    row = segmentation.rows[0]
    piled = with_alternatives(segmentation, PileAlternative((), (row,), 0.2))
    (pile,) = explain_piles(piled)
    proposed, without = pile.explanations
    assert (proposed.probability, without.probability) == (0.7, 0.2)
    assert np.array_equal(proposed.instances[0].mask, segmentation.instances[0].mask)
    assert proposed.instances[0].overlaps == ()
    assert without.instances == ()


def test_an_exchanged_proposal_is_cut_in_the_place_of_the_other(segmentation: RevisableSegmentation) -> None:
    hypotheses, row = segmentation.hypotheses, segmentation.rows[0]
    others = np.flatnonzero(~segmentation.selected)
    other = int(others[np.argmax(hypotheses.measurements.overlap[others, row])])
    piled = with_alternatives(segmentation, PileAlternative((other,), (row,), 0.2))
    alone = segmentation.reselect([one for one in segmentation.rows if one != row] + [other])
    cut = dict(zip(alone.rows, alone.instances, strict=True))
    piles = explain_piles(piled)
    if other not in cut or np.array_equal(cut[other].mask, segmentation.instances[0].mask):
        assert piles == () or piles[0].explanations[1].instances == ()
    else:
        assert np.array_equal(piles[0].explanations[1].instances[0].mask, cut[other].mask)


def test_an_explanation_that_changes_nothing_is_none(segmentation: RevisableSegmentation) -> None:
    row = segmentation.rows[0]
    assert explain_piles(with_alternatives(segmentation, PileAlternative((row,), (row,), 0.2))) == ()
    assert explain_piles(segmentation) == ()


def test_piles_are_kept_in_the_file(image: GreyImage, segmentation: RevisableSegmentation, tmp_path: Path) -> None:
    row = segmentation.rows[0]
    piled = with_alternatives(segmentation, PileAlternative((), (row,), 0.2))
    karyotype = Karyotyper(Classifier.load(), lambda _image: piled).karyotype(image)
    path = tmp_path / "cell.json"
    write_proposal(karyotype, path)
    read = read_proposal(path, image)
    assert [each.probability for each in read.piles[0].explanations] == [0.7, 0.2]
    before, after = karyotype.piles[0].explanations[0].instances[0], read.piles[0].explanations[0].instances[0]
    assert (before.box_px, before.route) == (after.box_px, after.route)
    assert np.array_equal(before.mask, after.mask)
    assert len(read.unexplained) == len(karyotype.unexplained)
    write_proposal(read, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    text = path.read_text()
    at = text.index('"piles"')
    path.write_text(text[:at] + text[at:].replace('"probability": 0.7', '"probability": 1.7', 1))
    with pytest.raises(ProposalFileError, match=r"piles\[0\].explanations\[0\].probability"):
        read_proposal(path, image)
