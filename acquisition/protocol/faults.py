"""What is done about each kind of fault.

What the instrument itself refuses (limits, interlocks) is not a matter of the protocol: such a step is never tried
again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from acquisition.protocol.fields import Strict
from scanner.strict_yaml import cross_check


class FaultKind(StrEnum):
    """Kinds of faults that a protocol decides about."""

    MOVE = "move"
    FRAME = "frame"
    FOCUS = "focus"
    MOTION = "motion"
    NOT_CONFIRMED = "not_confirmed"
    FIND = "find"
    DEVICE = "device"
    LIGHT = "light"
    OBJECTIVE = "objective"
    OIL = "oil"
    STORAGE = "storage"
    KARYOTYPE = "karyotype"


class Then(StrEnum):
    """What is done when the retries are used up."""

    SKIP_AND_MARK = "skip_and_mark"
    PARK_SLIDE = "park_slide"
    ABORT = "abort"


class FaultRule(Strict):
    """What is done about one kind of fault.

    The step is tried again `retries` times, after a new focus search where `refocus` says so. Then it is skipped
    and marked in the record, or the slide is parked (the batch goes on with the next one), or the whole run is
    aborted into the safe state.
    """

    retries: Annotated[int, Field(ge=0, le=10)] = Field(default=1, description="how often the step is retried")
    refocus: bool = Field(default=False, description="search the focus anew before each retry")
    then: Then = Field(
        default=Then.SKIP_AND_MARK, description="what follows when that did not help: the step, slide or run ends"
    )


# Without light, objective or disk nothing that follows can succeed: skipping would only mark the whole slide.
_NEVER_SKIPPED = frozenset({FaultKind.LIGHT, FaultKind.OBJECTIVE, FaultKind.OIL, FaultKind.STORAGE})
# These concern one picture and one cell: the slide has nothing to do with them.
_ALWAYS_SKIPPED = frozenset({FaultKind.NOT_CONFIRMED, FaultKind.KARYOTYPE})


class ErrorPolicy(Strict):
    """What is done about each kind of fault, and how much may go wrong before the run stops."""

    max_failed_fields: Annotated[int, Field(ge=0)] = Field(
        default=3, description="a run with more failed fields in a row stops: the instrument is at fault"
    )
    move: FaultRule = Field(default=FaultRule(), description="the stage or focus did not arrive")
    frame: FaultRule = Field(default=FaultRule(), description="no picture, or a black or saturated one")
    focus: FaultRule = Field(
        default=FaultRule(refocus=True), description="no plane of best focus; skipped fields are blank as a rule"
    )
    motion: FaultRule = Field(
        default=FaultRule(retries=2), description="two exposures of one place differ: something moved"
    )
    not_confirmed: FaultRule = Field(
        default=FaultRule(retries=0), description="high magnification shows no metaphase where one was found"
    )
    find: FaultRule = Field(default=FaultRule(retries=1), description="a field could not be searched")
    device: FaultRule = Field(default=FaultRule(), description="any other complaint of a device")
    light: FaultRule = Field(
        default=FaultRule(then=Then.PARK_SLIDE), description="the light did not switch, or gives too little"
    )
    objective: FaultRule = Field(
        default=FaultRule(then=Then.ABORT), description="the turret did not end where it was sent"
    )
    oil: FaultRule = Field(
        default=FaultRule(retries=0, then=Then.PARK_SLIDE), description="no drop of oil, or it can't be proven"
    )
    storage: FaultRule = Field(
        default=FaultRule(retries=0, then=Then.PARK_SLIDE), description="a picture or the record can't be written"
    )
    karyotype: FaultRule = Field(
        default=FaultRule(), description="the analysis of a capture failed or its worker died"
    )

    def rule(self, kind: FaultKind) -> FaultRule:
        """What is done about this kind of fault."""
        rule = getattr(self, kind.value)
        assert isinstance(rule, FaultRule)  # noqa: S101 - every kind has its field; a test compares them
        return rule

    @field_validator(*(kind.value for kind in FaultKind))
    @classmethod
    def _sensible(cls, rule: FaultRule, info: ValidationInfo) -> FaultRule:
        kind = FaultKind(str(info.field_name))
        if kind in _NEVER_SKIPPED and rule.then is Then.SKIP_AND_MARK:
            raise cross_check(
                f"found {rule.then}; must be park_slide or abort: nothing after it could succeed", "then"
            )
        if kind in _ALWAYS_SKIPPED and rule.then is not Then.SKIP_AND_MARK:
            raise cross_check(f"found {rule.then}; must be skip_and_mark: it concerns one cell alone", "then")
        if kind is FaultKind.OIL and rule.retries:
            raise cross_check(
                f"found {rule.retries}; must be 0: a second drop may follow one that the sensor missed", "retries"
            )
        return rule
