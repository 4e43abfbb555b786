"""The digital twin: a slide, a microscope around it, and a record of what happened."""

from simulators.twin.record import FieldOfView, TwinEvent
from simulators.twin.state import EMPTY_STAGE, TwinConfiguration
from simulators.twin.twin import Twin

__all__ = ["EMPTY_STAGE", "FieldOfView", "Twin", "TwinConfiguration", "TwinEvent"]
