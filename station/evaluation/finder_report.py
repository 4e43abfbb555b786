"""The finder's figures as a folder to look at: a page, curves, and its mistakes as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from acquisition.storage import write_bytes_atomic, write_json_atomic
from acquisition.storage.atomic import storage_errors, write_png_atomic
from analysis.evaluation.drawing import Rgb
from analysis.evaluation.finder_exhibits import Exhibit, Mistake, exhibit_sheet
from analysis.evaluation.finder_picture import finder_picture
from analysis.evaluation.finder_scores import pooled, scores_by_slide
from station.evaluation.finder import RANKED_NUMBER, FinderEvaluation, Population

PAGE_NAME: Final = "index.html"
MOST_EXHIBITS: Final = 48

ROWS: Final = (
    ("recall", "recall"),
    ("precision", "precision"),
    ("true_negative_rate", "hard negatives not called"),
    ("true_negative_rate_free_slides", "the same, slides without metaphases"),
    ("true_negative_rate_proposals", "wrong proposals not called"),
    ("ece", "calibration error (ECE)"),
    ("auc_analysable", "AUC, analysable against other metaphases"),
    ("auc_rank", "AUC, analysable metaphases against all other finds, by rank"),
    ("ece_analysable", "calibration error of analysability"),
    ("recall_analysable", "recall of analysable metaphases"),
    ("recall_proposed", "metaphases proposed at all"),
    ("average_precision", "average precision"),
    ("recall_at_precision_0.95", "recall at precision 0.95"),
    ("precision_at_recall_0.98", "precision at recall 0.98"),
    ("centre_error_um", "centre off by, µm (median)"),
    ("radius_ratio", "radius over true radius (median)"),
    ("fields_per_second", "fields a second on one core"),
    ("fields", "fields"),
    ("slides", "slides"),
    ("free_slides", "slides without metaphases"),
    ("fewest_negatives_on_a_free_slide", "fewest hard negatives on such a slide"),
    ("metaphases", "metaphases"),
    ("metaphases_analysable", "analysable ones"),
    ("hard_negatives", "hard negatives"),
    ("false_finds", "false finds"),
)

_TITLES: Final = {
    Population.BRIGHTFIELD: "brightfield",
    Population.FLUORESCENCE: "fluorescence",
    Population.NEVER_TRAINED: "stain never trained on",
}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    table: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class _Sheet:
    title: str
    file: str


def write_finder_report(evaluation: FinderEvaluation, folder: Path) -> Path:
    """Write ``index.html``, ``figures.json`` and pictures into a folder, which is made where it isn't there.

    Parameters
    ----------
    evaluation
        What is written.
    folder
        Where to.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        They can't be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json_atomic(folder / "figures.json", evaluation.figures)
    write_png_atomic(folder / "curves.png", _curves(evaluation))
    sheets = [
        _write_sheet(folder, population, mistake, shown)
        for population, exhibits in evaluation.exhibits.items()
        for mistake in Mistake
        for shown in [[entry for entry in exhibits if entry.mistake is mistake]]
    ]
    page = folder / PAGE_NAME
    write_bytes_atomic(page, _page(evaluation, sheets).encode())
    return page


def _curves(evaluation: FinderEvaluation) -> Rgb:
    scores = {
        _TITLES[population]: pooled(list(scores_by_slide(outcomes).values()))
        for population, outcomes in evaluation.subject.items()
    }
    for population, outcomes in evaluation.rules.items():
        if evaluation.figures["finder"] != "rules":
            by_rules = pooled(list(scores_by_slide(outcomes).values()))
            scores[f"rules, {_TITLES[population]}"] = by_rules
    figures = evaluation.figures
    note = f"{figures['split']} split. {figures['note']}"
    return finder_picture(scores, note)


def _write_sheet(folder: Path, population: Population, mistake: Mistake, shown: Sequence[Exhibit]) -> _Sheet:
    """The surest mistakes first: misses of low score, false finds of high score."""
    ordered = sorted(shown, key=lambda entry: entry.score, reverse=mistake is Mistake.FALSE_FIND)
    what = "Misses" if mistake is Mistake.MISS else "False finds"
    title = f"{what}, {_TITLES[population]}: {min(len(shown), MOST_EXHIBITS)} shown"
    file = f"{population}-{what.lower().replace(' ', '-')}.png"
    write_png_atomic(folder / file, exhibit_sheet(ordered[:MOST_EXHIBITS], title))
    return _Sheet(title, file)


def _page(evaluation: FinderEvaluation, sheets: Sequence[_Sheet]) -> str:
    figures = evaluation.figures
    columns = [_Column(_TITLES[Population(name)], own) for name, own in figures["populations"].items()]
    if figures["finder"] != "rules":
        columns += [
            _Column(f"{_TITLES[Population(name)]}, by rules", own) for name, own in figures["rules"].items()
        ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "report" / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["value"] = _value
    return environment.get_template("finder.html.j2").render(
        figures=figures,
        columns=columns,
        rows=ROWS,
        kinds=_kinds(columns),
        ranked_number=RANKED_NUMBER,
        sheets=sheets,
    )


def _kinds(columns: Sequence[_Column]) -> list[_Kind]:
    kinds = []
    for table, words in (("found_by_kind", "found"), ("called_by_kind", "called")):
        names = sorted({name for column in columns for name in column.figures[table]})
        kinds += [_Kind(table, name, f"{words}: {name.replace('_', ' ')}") for name in names]
    return kinds


def _value(value: object) -> str:
    if value is None:
        return "—"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
