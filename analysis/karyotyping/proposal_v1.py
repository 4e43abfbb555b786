"""Proposal files of the first version, which had none of its own, brought to the present one.

They lack what the present version added, and nothing else: keys that neither has are left in, to be refused.
"""

from __future__ import annotations

from typing import Any

from analysis.karyotyping.proposal_model import FORMAT, VERSION
from analysis.karyotyping.review_rules import REQUIRE_REVIEW
from analysis.structures.instance import SegmentationRoute
from analysis.structures.review import ReviewLevel


def is_version_1(content: dict[str, Any]) -> bool:
    """Whether a file names neither format nor version, as the first version did."""
    return "version" not in content and "format" not in content


def upgraded(content: dict[str, Any], image: str, image_sha256: str) -> dict[str, Any]:
    """Bring a file of the first version to the present one.

    Banding, band level and homologues are left empty: they are worked out anew.

    Parameters
    ----------
    content
        As it was read; it isn't changed.
    image, image_sha256
        How the present version names the picture that was found where the file says, and the sha256 of its
        content, which the first version didn't record.
    """
    chromosomes = content.get("chromosomes")
    if isinstance(chromosomes, list):
        content = content | {"chromosomes": [_chromosome(each) for each in chromosomes]}
    if "verdict" in content:
        content = content | {"verdict": _verdict(content["verdict"])}
    fresh = {"format": FORMAT, "version": VERSION, "image": image, "image_sha256": image_sha256}
    added: dict[str, Any] = {
        "edited": False,
        "complete": False,
        "proposed_objects": len(chromosomes) if isinstance(chromosomes, list) else 0,
        "proposed_verdict": None,
        "protocol_banding": None,
        "hypothesis": "",
        "margin": 0.0,
        "losses_believed": None,
        "left_out": [],
        "weights": {},
    }
    derived: dict[str, Any] = {"banding": None, "band_level": None, "homologues": []}
    return added | content | fresh | derived


def _chromosome(value: object) -> object:
    if not isinstance(value, dict):
        return value
    added: dict[str, Any] = {
        "confirmed": False,
        "not_compared": None,
        "score": 1.0,
        "route": SegmentationRoute.PROPOSAL_FILE.value,
        "extent_px": None,
    }
    if "class" in value and "flipped" in value:
        added["proposed"] = {"class": value["class"], "flipped": value["flipped"]}
    return added | value


def _verdict(verdict: object) -> object:
    """Give each reason a flag of its own; the first version kept the level of all together."""
    if not isinstance(verdict, dict) or not isinstance(verdict.get("reasons"), list):
        return verdict
    reasons = [each for each in verdict["reasons"] if isinstance(each, dict)]
    if len(reasons) < len(verdict["reasons"]):
        return verdict
    always = [each.get("finding") in REQUIRE_REVIEW for each in reasons]
    # Of the reasons of which the number decides, the level tells nothing where another one explains it already.
    others = verdict.get("level") == ReviewLevel.MUST_REVIEW and not any(always)
    flagged = [{"review": flag or others} | each for each, flag in zip(reasons, always, strict=True)]
    return {"mostly_confirmed": False} | verdict | {"reasons": flagged}
