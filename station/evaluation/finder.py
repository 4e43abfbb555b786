"""The evaluation of the finder: fields composed and searched in one pass, in two processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from acquisition.run.search_task import prepare_search
from acquisition.workers import spawned
from analysis.evaluation.finder import finder_figures
from analysis.evaluation.finder_exhibits import Exhibit, exhibits_of
from analysis.evaluation.finder_matching import Field
from analysis.evaluation.finder_ranking import RankedSlide, ranked_slides
from analysis.evaluation.finder_scores import FieldOutcome, search
from analysis.finder import FINDERS, FieldFinder, finder_of, load_finder
from analysis.finder.finders import RULES
from analysis.training.synthesis import (
    BRIGHTFIELD,
    FLUORESCENCE,
    HELD_OUT_STAIN,
    STAINS,
    compose_slides,
    interactions_table,
)
from analysis.training.synthesis.compose import QUALITY_FILE, WORK_DIR
from station.errors import UsageError

FIELDS: Final = 2000
"""Brightfield fields of the whole evaluation; the other populations come in proportion."""

WORKERS: Final = 2
NOTE: Final = (
    "Real texture, composed layout: cells, nuclei and debris are real, cut from high-magnification images and "
    "reduced to 10x; no real 10x field is among them."
)

RANKED_NUMBER: Final = 20
"""Finds of a slide that are held against a chance choice."""

_SEED: Final = 2600
_EXHIBITS_A_JOB: Final = 60


class Population(StrEnum):
    """Fields that are reported apart.

    ``BRIGHTFIELD``: stains that the finder was trained on. ``FLUORESCENCE``: bright on dark. ``NEVER_TRAINED``: a
    stain kept from the training.
    """

    BRIGHTFIELD = "brightfield"
    FLUORESCENCE = "fluorescence"
    NEVER_TRAINED = "never_trained"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a population is composed.

    Attributes
    ----------
    fraction
        Its fields over those of brightfield.
    domain, stain
        What is composed; None for the stain of the domain that the finder was trained on.
    slides
        Slides composed at a time; every fourth slide has no metaphase.
    fields_per_slide
        Fields of each.
    """

    fraction: float
    domain: str
    stain: str | None = None
    slides: int = 4
    fields_per_slide: int = 40

    @property
    def fields(self) -> int:
        """Fields composed at a time."""
        return self.slides * self.fields_per_slide


PLANS: Final[Mapping[Population, Plan]] = {
    Population.BRIGHTFIELD: Plan(1.0, BRIGHTFIELD),
    Population.FLUORESCENCE: Plan(0.16, FLUORESCENCE, fields_per_slide=20),
    Population.NEVER_TRAINED: Plan(0.16, STAINS[HELD_OUT_STAIN], HELD_OUT_STAIN, fields_per_slide=20),
}


RANKED: Final = (Population.BRIGHTFIELD,)
"""Populations whose cells have known interactions."""


@dataclass(frozen=True, slots=True)
class FinderJob:
    """Slides that a process composes and searches.

    Attributes
    ----------
    data, split
        Where the images are, and which of them.
    population, number
        Which slides.
    fields
        Fields at most.
    subject
        Finder that is measured, one of `FINDERS` or a folder of weights.
    work_dir
        Where cut-outs and the table of the cells' qualities are kept.
    """

    data: Path
    split: str
    population: Population
    number: int
    fields: int
    subject: str
    work_dir: Path


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """What a process saw.

    Attributes
    ----------
    population
        As asked.
    subject, rules
        Fields searched by either finder.
    exhibits
        Mistakes of the subject.
    composing_s
        Processor time of composing.
    """

    population: Population
    subject: tuple[FieldOutcome, ...]
    rules: tuple[FieldOutcome, ...]
    exhibits: tuple[Exhibit, ...]
    composing_s: float


@dataclass(frozen=True, slots=True)
class FinderEvaluation:
    """What the evaluation found.

    Attributes
    ----------
    figures
        As `evaluate_finder` returns them.
    subject, rules
        Fields searched, by population.
    exhibits
        Mistakes of the subject, by population.
    """

    figures: dict[str, Any]
    subject: Mapping[Population, Sequence[FieldOutcome]]
    rules: Mapping[Population, Sequence[FieldOutcome]]
    exhibits: Mapping[Population, Sequence[Exhibit]]


def named_finder(name: str) -> FieldFinder:
    """A finder of the product by its name, or one with weights of one's own by their folder.

    Raises
    ------
    UsageError
        There is neither.
    """
    if name in FINDERS:
        return load_finder(name)
    if not Path(name).is_dir():
        raise UsageError(f"--finder: found {name!r}; allowed: {', '.join(FINDERS)}, or a folder of weights")
    return finder_of("finder", Path(name))


def run_job(job: FinderJob) -> JobAnswer:
    """Compose slides and search each field with both finders as soon as it is there."""
    finder, rules = named_finder(job.subject), load_finder(RULES)
    outcomes: list[FieldOutcome] = []
    by_rules: list[FieldOutcome] = []
    exhibits: list[Exhibit] = []
    composing_s = 0.0
    start_s = time.process_time()
    for field in compose(job):
        composing_s += time.process_time() - start_s
        outcome = search(field, finder)
        outcomes.append(outcome)
        by_rules.append(outcome if job.subject == RULES else search(field, rules))
        if len(exhibits) < _EXHIBITS_A_JOB:
            exhibits.extend(exhibits_of(field, outcome))
        start_s = time.process_time()
    return JobAnswer(job.population, tuple(outcomes), tuple(by_rules), tuple(exhibits), composing_s)


def compose(job: FinderJob) -> Iterator[Field]:
    """Fields of a job, one after the other."""
    plan = PLANS[job.population]
    fields = compose_slides(
        job.data,
        job.split,
        seed=_SEED,
        slides=plan.slides,
        fields_per_slide=plan.fields_per_slide,
        domain=plan.domain,
        stain=plan.stain,
        work_dir=job.work_dir,
        first_slide=job.number * plan.slides,
    )
    return islice(fields, job.fields)


def jobs_for(data: Path, split: str, subject: str, limit: int | None, work_dir: Path) -> list[FinderJob]:
    """Portion the evaluation into jobs; the stain never trained on has the split test alone.

    Parameters
    ----------
    data
        Root of the data sets.
    split
        ``train``, ``val`` or ``test``.
    subject
        Finder that is measured, by its name or by the folder of its weights.
    limit
        Brightfield fields; None for `FIELDS`.
    work_dir
        Where cut-outs are kept.
    """
    jobs = []
    for population, plan in PLANS.items():
        if population is Population.NEVER_TRAINED and split != "test":
            continue
        left = max(1, round(plan.fraction * (FIELDS if limit is None else limit)))
        number = 0
        while left > 0:
            fields = min(left, plan.fields)
            jobs.append(FinderJob(data, split, population, number, fields, subject, work_dir))
            left, number = left - fields, number + 1
    return jobs


def evaluate_finder(
    data: Path,
    split: str,
    *,
    subject: str = "default",
    limit: int | None = None,
    work_dir: Path = WORK_DIR,
    progress: Callable[[int, int], None] | None = None,
    make_workers: Callable[[], Executor] | None = None,
) -> FinderEvaluation:
    """Measure a finder on composed fields of held-out cases, beside the finder by rules on the same fields.

    Parameters
    ----------
    data
        Root of the data sets.
    split
        ``train``, ``val`` or ``test``.
    subject
        One of `FINDERS`, or a folder of weights.
    limit
        Brightfield fields; the other populations come in proportion. Default `FIELDS`.
    work_dir
        Where cut-outs are kept, and the table of what becomes of the cells at high magnification; without that,
        analysability and ranking can't be told.
    progress
        Called with (fields done, fields in all).
    make_workers
        Makes what runs the jobs; processes, one a core and `WORKERS` at most, by default.

    Returns
    -------
    FinderEvaluation
        Its figures are those of `finder_figures` for brightfield, ``populations`` with those of every population,
        ``rules`` with those of the finder by rules, ``ranking`` by interactions at high magnification, ``note``
        on what the fields are, and times.

    Raises
    ------
    UsageError
        No such split or finder.
    DatasetError
        The data aren't there or aren't what they should be.
    """
    if split not in {"train", "val", "test"}:
        raise UsageError(f"--split: found {split!r}; allowed: train, val, test")
    named_finder(subject)
    start_s = time.perf_counter()
    jobs = jobs_for(data, split, subject, limit, work_dir)
    answers = _run(jobs, make_workers or _processes, progress)
    outcomes, by_rules, exhibits = (_by_population(answers, part) for part in ("subject", "rules", "exhibits"))
    figures = {
        **_figures(subject, split, outcomes, by_rules, work_dir),
        "composing_processor_s": sum(answer.composing_s for answer in answers),
        "seconds": time.perf_counter() - start_s,
    }
    return FinderEvaluation(figures, outcomes, by_rules, exhibits)


def _by_population(answers: Sequence[JobAnswer], part: str) -> dict[Population, list[Any]]:
    collected: dict[Population, list[Any]] = {}
    for answer in answers:
        collected.setdefault(answer.population, []).extend(getattr(answer, part))
    return collected


def _figures_by_population(outcomes: Mapping[Population, Sequence[FieldOutcome]]) -> dict[str, dict[str, Any]]:
    return {str(population): finder_figures(of_population) for population, of_population in outcomes.items()}


def _figures(
    subject: str,
    split: str,
    outcomes: Mapping[Population, Sequence[FieldOutcome]],
    by_rules: Mapping[Population, Sequence[FieldOutcome]],
    work_dir: Path,
) -> dict[str, Any]:
    populations = _figures_by_population(outcomes)
    return {
        **populations[Population.BRIGHTFIELD],
        "finder": subject,
        "split": split,
        "note": NOTE,
        "populations": populations,
        "rules": _figures_by_population(by_rules),
        "ranking": _ranking_figures(outcomes, work_dir),
    }


def _ranking_figures(outcomes: Mapping[Population, Sequence[FieldOutcome]], work_dir: Path) -> dict[str, Any]:
    fields = [field for population in RANKED for field in outcomes.get(population, [])]
    interactions = interactions_table(work_dir / QUALITY_FILE)
    return ranking_figures(ranked_slides(fields, interactions, number=RANKED_NUMBER))


def _processes() -> Executor:
    return spawned(min(WORKERS, os.cpu_count() or 1), prepare_search)


def _run(
    jobs: Sequence[FinderJob], make_workers: Callable[[], Executor], progress: Callable[[int, int], None] | None
) -> list[JobAnswer]:
    """Run the jobs; answers come in the order of the jobs."""
    for first_job in {job.population: job for job in jobs}.values():
        # What is missing is told before processes start, and images are cut once and not by each of them.
        next(compose(first_job), None)
    answers: dict[int, JobAnswer] = {}
    total = sum(job.fields for job in jobs)
    with make_workers() as executor:
        numbers = {executor.submit(run_job, job): number for number, job in enumerate(jobs)}
        try:
            for future in as_completed(numbers):
                answers[numbers[future]] = future.result()
                if progress is not None:
                    progress(sum(len(answer.subject) for answer in answers.values()), total)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return [answers[number] for number in sorted(answers)]


def ranking_figures(ranked: Sequence[RankedSlide]) -> dict[str, Any]:
    """The ranking of all slides as figures.

    Returns
    -------
    dict
        ``slides`` compared; means over them of ``interactions_best`` and ``interactions_chance``,
        ``analysable_best`` and ``analysable_chance`` (see `RankedSlide`), None where there is no slide;
        ``slides_better_than_chance`` by interactions; ``by_slide``.
    """
    return {
        "slides": len(ranked),
        "interactions_best": _mean([slide.interactions[0] for slide in ranked]),
        "interactions_chance": _mean([slide.interactions[1] for slide in ranked]),
        "analysable_best": _mean([slide.analysable[0] for slide in ranked]),
        "analysable_chance": _mean([slide.analysable[1] for slide in ranked]),
        "slides_better_than_chance": sum(slide.interactions[0] < slide.interactions[1] for slide in ranked),
        "by_slide": {
            slide.slide: {
                "interactions": list(slide.interactions),
                "analysable": list(slide.analysable),
                "finds": list(slide.finds),
            }
            for slide in ranked
        },
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
