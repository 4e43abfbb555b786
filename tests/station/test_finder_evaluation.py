"""The evaluation of the finder from composing to the page, on fields that are drawn here."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from station.cli import main
from station.errors import UsageError
from station.evaluation import finder as finder_evaluation
from station.evaluation.finder import PLANS, FinderJob, Population, evaluate_finder, jobs_for
from station.evaluation.finder_report import write_finder_report


@dataclass(frozen=True)
class Thing:
    x_px: float
    y_px: float
    radius_px: float
    is_metaphase: bool
    kind: str
    analysable: bool | None
    source: str


@dataclass(frozen=True)
class Picture:
    pixels: np.ndarray
    truth: tuple[Thing, ...]
    slide: str
    number: int
    stain: str = "giemsa"
    um_per_px: float = 0.645


def drawn(job: FinderJob):
    """One metaphase a field, a pile of debris, and a metaphase that nothing is seen of."""
    for number in range(job.fields):
        rng = np.random.default_rng([job.number, number])
        od = np.zeros((400, 500), np.float32)
        for _ in range(44):
            angle, way = rng.uniform(0, 2 * np.pi), 33.0 * np.sqrt(rng.uniform(0, 1))
            centre = (150 + way * np.cos(angle), 200 + way * np.sin(angle))
            box = cv2.boxPoints((centre, (rng.uniform(3, 10), 1.7), float(rng.uniform(0, 180))))
            part = np.zeros_like(od)
            cv2.fillPoly(part, [np.round(box * 8).astype(np.int32)], 0.45, cv2.LINE_AA, shift=3)
            od += part
        light = 200.0 * np.exp(-cv2.GaussianBlur(od, (0, 0), 0.7)) + rng.normal(0, 1, od.shape)
        truth = (
            Thing(150, 200, 36, True, "metaphase", True, f"cell-{number}"),
            Thing(360, 100, 30, True, "burst", False, ""),
            Thing(360, 300, 30, False, "debris", None, ""),
        )
        yield Picture(np.clip(light, 0, 255).astype(np.uint8), truth, f"s{number % 2}", number)


@pytest.fixture
def evaluation(monkeypatch, tmp_path):
    monkeypatch.setattr(finder_evaluation, "compose", drawn)
    done = []
    made = evaluate_finder(
        tmp_path,
        "val",
        subject="rules",
        limit=6,
        work_dir=tmp_path,
        progress=lambda *counts: done.append(counts),
        make_workers=lambda: ThreadPoolExecutor(1),
    )
    assert done[-1][0] == done[-1][1]
    return made


def test_figures_and_report_come_out_of_one_pass(evaluation, tmp_path):
    figures = evaluation.figures
    assert (figures["recall"], figures["precision"], figures["true_negative_rate"]) == (0.5, 1.0, 1.0)
    assert figures["fields"] == 6
    assert figures["populations"]["brightfield"]["recall"] == 0.5
    assert figures["rules"]["brightfield"] == figures["populations"]["brightfield"]
    assert figures["ranking"]["slides"] == 0
    assert "composed layout" in figures["note"]
    page = write_finder_report(evaluation, tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    assert "found: burst" in text
    assert "0 / 6" in text
    for name in ("curves.png", "brightfield-misses.png", "brightfield-false-finds.png"):
        picture = cv2.imread(str(page.parent / name))
        assert picture is not None
        assert picture.std() > 5
        assert name in text
    assert json.loads((page.parent / "figures.json").read_text(encoding="utf-8"))["recall"] == 0.5


def test_the_command_prints_every_figure_and_writes_what_it_is_asked_for(
    evaluation, monkeypatch, tmp_path, capsys
):
    asked = {}

    def evaluate(data, split, **options):
        asked.update(options, data=data, split=split)
        return evaluation

    monkeypatch.setattr(finder_evaluation, "evaluate_finder", evaluate)
    json_file, report = tmp_path / "f.json", tmp_path / "report"
    options = ["--data", str(tmp_path), "--split", "val", "--finder", "rules", "--limit", "6"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "finder", *options, "--json", str(json_file), "--report", str(report)])
    assert ended.value.code == 0
    assert (asked["subject"], asked["limit"], asked["split"]) == ("rules", 6, "val")
    printed = capsys.readouterr().out
    for figure in ("recall", "precision", "true_negative_rate", "ece", "auc_analysable", "fields_per_second"):
        assert figure in printed
        assert figure in json.loads(json_file.read_text(encoding="utf-8"))
    assert "found: burst" in printed
    assert "0 of 6" in printed
    assert "composed layout" in printed
    assert (report / "index.html").is_file()


def test_jobs_cover_the_fields_asked_for(tmp_path):
    jobs = jobs_for(tmp_path, "test", "rules", None, tmp_path)
    for population, plan in PLANS.items():
        own = [job for job in jobs if job.population is population]
        assert sum(job.fields for job in own) == round(plan.fraction * finder_evaluation.FIELDS)
        assert [job.number for job in own] == list(range(len(own)))
        assert all(job.fields <= plan.fields for job in own)


def test_a_stain_never_trained_on_is_tested_alone(tmp_path):
    populations = {job.population for job in jobs_for(tmp_path, "val", "rules", 100, tmp_path)}
    assert populations == {Population.BRIGHTFIELD, Population.FLUORESCENCE}


@pytest.mark.parametrize(("split", "subject"), [("all", "rules"), ("val", "best")])
def test_what_does_not_exist_is_refused(tmp_path, split, subject):
    with pytest.raises(UsageError, match="allowed"):
        evaluate_finder(tmp_path, split, subject=subject)
