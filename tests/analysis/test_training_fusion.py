"""Fitting fusion, assignment costs and plausibility on cells made up."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.special import log_softmax
from typer.testing import CliRunner

from analysis.assignment.joint_assignment import AssignmentCosts, load_assignment_costs
from analysis.classification.fusion import FusionWeights, none_evidence
from analysis.datasets.labelled_cells import NO_CHROMOSOME
from analysis.datasets.tseng import TSENG_PADDING_PX
from analysis.errors import DatasetError
from analysis.parameters.store import load_parameters
from analysis.segmentation.contours.features import SINGLE_FEATURES
from analysis.segmentation.contours.plausibility import load_plausibility
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.training.fits.case_folds import case_folds
from analysis.training.fits.cell_evidence import CellEvidence, LabelledEvidence
from analysis.training.fits.fusion import cross_validated_fusion, fit_fusion, fusion_figures
from simulators.specimen.chromosome import ChromosomeAppearance, render_chromosome
from station.cli import app

TOUCHING_PX = 2
CLASSES = np.asarray([*(k for k in range(22) for _ in range(2)), 22, 23])


def evidence(rng: np.random.Generator, case: str, *, proud: float, debris: int) -> CellEvidence:
    """A cell whose classifier is fair and whose detector takes its log odds for ``proud`` times what they are."""
    classes = np.concatenate([CLASSES, np.full(debris, NO_CHROMOSOME)])
    count = len(classes)

    def logits(scale: float) -> np.ndarray:
        noise = rng.normal(0.0, 1.0, (count, 24))
        real = classes < NO_CHROMOSOME
        noise[real, classes[real]] += rng.normal(4.0, 1.5, int(real.sum()))
        return np.asarray(log_softmax(scale * noise, axis=1))

    is_none = classes == NO_CHROMOSOME
    none_odds = np.where(is_none, 2.0, -4.0) + rng.normal(0.0, 2.0, count)
    score_odds = np.where(is_none, -1.0, 2.0) + rng.normal(0.0, 1.0, count)
    scores = ClassScores(
        log_prob=logits(1.0).astype(np.float32),
        log_none=-np.log1p(np.exp(-none_odds)).astype(np.float32),
        flipped=np.zeros(count, np.bool_),
        polarity_margin=np.zeros(count, np.float32),
        turned_log_odds=np.zeros((count, 24), np.float32),
    )
    return CellEvidence(case, scores, logits(proud), 1.0 / (1.0 + np.exp(-score_odds)), classes)


def simulated(count: int, *, proud: float = 1.0, debris: int = 4) -> list[LabelledEvidence]:
    rng = np.random.default_rng(12)
    return [
        LabelledEvidence(
            evidence(rng, f"case {k // 2}", proud=proud, debris=0),
            evidence(rng, f"case {k // 2}", proud=proud, debris=debris),
        )
        for k in range(count)
    ]


def test_folds_hold_whole_cases() -> None:
    cases = [f"case {k % 7}" for k in range(40)]
    folds = case_folds(cases, 4, seed=3)
    assert set(folds.tolist()) == {0, 1, 2, 3}
    assert all(len({int(f) for f, own in zip(folds, cases, strict=True) if own == case}) == 1 for case in cases)
    assert set(case_folds(["a", "b", "a"], 8, seed=3).tolist()) == {0, 1}


def test_a_net_that_is_too_sure_of_itself_gets_less_weight() -> None:
    costs = load_assignment_costs()
    fair, proud = fit_fusion(simulated(16), costs), fit_fusion(simulated(16, proud=3.0), costs)
    assert fair.classifier == pytest.approx(fair.detector, rel=0.3)
    assert proud.detector == pytest.approx(fair.detector / 3.0, rel=0.3)


def test_what_is_no_chromosome_is_learned_from_both_nets() -> None:
    weights = fit_fusion(simulated(16), load_assignment_costs())
    assert weights.none > 0.2
    assert weights.score < -0.5
    assert 0.1 <= weights.sharpness_detected <= 3.0


def test_fused_evidence_is_better_than_one_net_and_figures_are_of_held_out_cases() -> None:
    cells, costs = simulated(12), load_assignment_costs()
    figures = cross_validated_fusion(cells, costs)
    classifier_alone = FusionWeights(
        classifier=1.0, detector=0.0, none=1.0, score=0.0, bias=0.0, sharpness=1.0, sharpness_detected=1.0
    )
    assert figures["top1"] > fusion_figures(cells, classifier_alone, costs)["top1"] + 0.005
    assert figures["detected_assigned"] > 0.9


def test_cells_without_debris_teach_nothing_of_it() -> None:
    with pytest.raises(DatasetError, match="all right or all wrong"):
        fit_fusion(simulated(4, debris=0), load_assignment_costs())


def test_log_odds_of_none_are_finite_however_sure_the_nets_are() -> None:
    none, score = none_evidence(np.asarray([-np.inf, 0.0]), np.asarray([0.0, 1.0]))
    assert np.isfinite(none).all()
    assert np.isfinite(score).all()
    assert none[0] < 0.0 < none[1]


def test_the_commands_write_parameter_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "analysis.training.fits.cell_evidence.collect_evidence", lambda *_, **__: iter(simulated(6))
    )
    for name, command in (("fusion", "fusion"), ("assignment-costs", "assignment")):
        run = CliRunner().invoke(
            app, ["train", command, "--out", str(tmp_path), "--data", str(tmp_path), "--limit", "6"]
        )
        assert run.exit_code == 0, run.output
        manifest = load_parameters(name, tmp_path).manifest
        assert manifest.command == f"karyoscan train {command} --limit 6"
        assert manifest.data == {"tseng pictures": 6}
    weights = load_parameters("fusion", tmp_path).coefficients(FusionWeights)
    assert weights == fit_fusion(simulated(6), load_assignment_costs())
    costs = load_parameters("assignment-costs", tmp_path).coefficients(AssignmentCosts)
    assert 2.5 <= costs.extra <= 5.0


def drawn_set(folder: Path, pictures: int) -> Path:
    """Pictures of drawn chromosomes, some across one another, with their boxes, as the train split of a set."""
    (folder / "tseng" / "images").mkdir(parents=True)
    rng = np.random.default_rng(5)
    boxes, images = ["image,class,xmin,ymin,xmax,ymax"], ["image,case,split"]
    for number in range(pictures):
        od = np.zeros((560, 760), np.float32)
        reach = 0
        for k in range(24):
            row, column = divmod(k, 6)
            name = CLASS_NAMES[k]
            angle = float(rng.uniform(-8, 8))
            body = render_chromosome(name, rng, um_per_px=0.13, appearance=ChromosomeAppearance(), angle_deg=angle)
            xmin, ymin, xmax, ymax = body.box_px
            # One in three touches its left neighbour: there has to be something to part.
            x0, y0 = (reach - TOUCHING_PX - xmin if column in (1, 4) else 30 + column * 115), 20 + row * 130
            reach = x0 + xmax
            height, width = body.od.shape
            od[y0 : y0 + height, x0 : x0 + width] += body.od[: 560 - y0, : 760 - x0]
            # People draw boxes with slide round their chromosomes.
            left, top, right, bottom = (round(side) for side in TSENG_PADDING_PX)
            sides = (x0 + xmin - left, y0 + ymin - top, x0 + xmax + right, y0 + ymax + bottom)
            boxes.append(f"p{number},{name},{','.join(map(str, sides))}")
        light = 230.0 * 10.0 ** -cv2.GaussianBlur(od, (0, 0), 0.9) + rng.normal(0, 1.5, od.shape)
        cv2.imwrite(str(folder / "tseng" / "images" / f"p{number}.jpg"), np.clip(light, 0, 255).astype(np.uint8))
        images.append(f"p{number},case {number},train")
    (folder / "tseng" / "boxes.csv.gz").write_bytes(gzip.compress("\n".join(boxes).encode()))
    (folder / "tseng" / "images.csv").write_text("\n".join(images) + "\n")
    return folder


def test_plausibility_is_fitted_to_drawn_pictures(tmp_path: Path) -> None:
    data = drawn_set(tmp_path / "data", 3)
    arguments = ["train", "plausibility", "--data", str(data), "--out", str(tmp_path / "out")]
    run = CliRunner().invoke(app, [*arguments, "--images", "3", "--processes", "1"])
    assert run.exit_code == 0, run.output
    manifest = load_parameters("plausibility", tmp_path / "out").manifest
    assert manifest.data["tseng pictures"] == 3
    assert manifest.data["pieces"] > 20
    rod = np.array([[4.5, 0.85, 1.0, 5.3, 2, 0.97, 1.05, 0.0, 0, 0.25, 0.65, 1.0]])
    assert rod.shape[1] == len(SINGLE_FEATURES)
    assert 0.0 <= load_plausibility(tmp_path / "out").single(rod)[0] <= 1.0
