"""OME-XML (schema 2016-06) of one picture, in bright field or fluorescence.

Written here rather than by the TIFF library, whose writer knows neither instruments nor annotations. What OME has
no place for (accession, position on the slide, our uids) stands in a map annotation of `ANNOTATION_NAMESPACE`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from acquisition.storage.capture_metadata import CaptureMetadata, Immersion, Modality, ObjectiveMetadata

OME_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
ANNOTATION_NAMESPACE = "karyoscan/capture/1"

_SCHEMA = f"{OME_NAMESPACE} {OME_NAMESPACE}/ome.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_UM = "µm"
# XML 1.0 has no way at all to hold these, not even escaped; a carriage return comes back as a line feed.
_UNWRITABLE = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class _ChannelTerms:
    """The terms of the OME schema for a modality."""

    illumination: str
    contrast: str
    acquisition_mode: str = "WideField"


_CHANNELS: Final = {
    Modality.BRIGHT_FIELD: _ChannelTerms("Transmitted", "Brightfield"),
    Modality.FLUORESCENCE: _ChannelTerms("Epifluorescence", "Fluorescence"),
}


def to_ome_xml(metadata: CaptureMetadata, *, width_px: int, height_px: int) -> bytes:
    """Describe a picture in OME-XML.

    Parameters
    ----------
    metadata
        Where, when and how the picture was taken.
    width_px, height_px
        Its size.

    Returns
    -------
    bytes
        Pure ASCII (anything else as character references), as a TIFF description has to be.
    """
    root = ET.Element("OME", {"xmlns": OME_NAMESPACE, "xmlns:xsi": _XSI, "xsi:schemaLocation": _SCHEMA})
    instrument = ET.SubElement(root, "Instrument", ID="Instrument:0")
    objective = metadata.objective
    ET.SubElement(
        instrument,
        "Objective",
        ID="Objective:0",
        Model=_clean(objective.name),
        NominalMagnification=repr(objective.magnification),
        LensNA=repr(objective.numerical_aperture),
        Immersion=objective.immersion.value,
    )
    _add_image(root, metadata, width_px=width_px, height_px=height_px)
    annotations = ET.SubElement(root, "StructuredAnnotations")
    entry = ET.SubElement(annotations, "MapAnnotation", ID="Annotation:0", Namespace=ANNOTATION_NAMESPACE)
    values = ET.SubElement(entry, "Value")
    for key, value in _annotation(metadata).items():
        ET.SubElement(values, "M", K=key).text = _clean(value)
    text: bytes = ET.tostring(root, encoding="us-ascii", xml_declaration=True)
    return text


def _add_image(root: ET.Element, metadata: CaptureMetadata, *, width_px: int, height_px: int) -> None:
    image = ET.SubElement(root, "Image", ID="Image:0", Name=_clean(metadata.uid))
    ET.SubElement(image, "AcquisitionDate").text = metadata.taken_at.astimezone(UTC).isoformat()
    ET.SubElement(image, "InstrumentRef", ID="Instrument:0")
    ET.SubElement(image, "ObjectiveSettings", ID="Objective:0")
    pixels = ET.SubElement(
        image,
        "Pixels",
        ID="Pixels:0",
        DimensionOrder="XYZCT",
        Type="uint16",
        SignificantBits=str(metadata.significant_bits),
        BigEndian="false",
        SizeX=str(width_px),
        SizeY=str(height_px),
        SizeZ="1",
        SizeC="1",
        SizeT="1",
        PhysicalSizeX=repr(metadata.um_per_px),
        PhysicalSizeXUnit=_UM,
        PhysicalSizeY=repr(metadata.um_per_px),
        PhysicalSizeYUnit=_UM,
    )
    terms = _CHANNELS[metadata.modality]
    ET.SubElement(
        pixels,
        "Channel",
        ID="Channel:0:0",
        Name=metadata.modality.value,
        SamplesPerPixel="1",
        IlluminationType=terms.illumination,
        ContrastMethod=terms.contrast,
        AcquisitionMode=terms.acquisition_mode,
    )
    ET.SubElement(pixels, "TiffData", IFD="0", PlaneCount="1")
    ET.SubElement(
        pixels,
        "Plane",
        TheZ="0",
        TheC="0",
        TheT="0",
        ExposureTime=repr(metadata.exposure_ms),
        ExposureTimeUnit="ms",
        PositionX=repr(metadata.stage_x_um),
        PositionXUnit=_UM,
        PositionY=repr(metadata.stage_y_um),
        PositionYUnit=_UM,
        PositionZ=repr(metadata.z_um),
        PositionZUnit=_UM,
    )
    ET.SubElement(image, "AnnotationRef", ID="Annotation:0")


def from_ome_xml(text: str) -> CaptureMetadata:
    """Read back what `to_ome_xml` wrote; `ValueError` where it isn't that."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - expat of every supported Python bounds entity expansion
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    objective = _find(root, "Instrument/Objective")
    image = _find(root, "Image")
    pixels = _find(image, "Pixels")
    plane = _find(pixels, "Plane")
    taken_at = image.findtext(_path("AcquisitionDate")) or ""
    notes = {
        item.get("K", ""): item.text or ""
        for item in root.iterfind(_path("StructuredAnnotations/MapAnnotation/Value/M"))
    }
    try:
        return CaptureMetadata(
            uid=notes["uid"],
            run_uid=notes["run_uid"],
            candidate_uid=notes["candidate_uid"],
            slide=notes["slide"],
            um_per_px=float(pixels.attrib["PhysicalSizeX"]),
            stage_x_um=float(plane.attrib["PositionX"]),
            stage_y_um=float(plane.attrib["PositionY"]),
            z_um=float(plane.attrib["PositionZ"]),
            slide_x_um=float(notes["slide_x_um"]),
            slide_y_um=float(notes["slide_y_um"]),
            exposure_ms=float(plane.attrib["ExposureTime"]),
            taken_at=datetime.fromisoformat(taken_at),
            objective=ObjectiveMetadata(
                objective.attrib["Model"],
                float(objective.attrib["NominalMagnification"]),
                float(objective.attrib["LensNA"]),
                Immersion(objective.attrib["Immersion"]),
            ),
            significant_bits=int(pixels.attrib["SignificantBits"]),
            # Captures of earlier versions have no accession.
            accession=notes.get("accession", ""),
            modality=_modality(_find(pixels, "Channel").attrib["ContrastMethod"]),
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error


def _modality(contrast: str) -> Modality:
    for modality, terms in _CHANNELS.items():
        if terms.contrast == contrast:
            return modality
    raise ValueError(f"contrast method {contrast!r}")


def _annotation(metadata: CaptureMetadata) -> dict[str, str]:
    return {
        "uid": metadata.uid,
        "run_uid": metadata.run_uid,
        "candidate_uid": metadata.candidate_uid,
        "slide": metadata.slide,
        "accession": metadata.accession,
        "slide_x_um": repr(metadata.slide_x_um),
        "slide_y_um": repr(metadata.slide_y_um),
    }


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)


def _path(path: str) -> str:
    return "/".join(f"{{{OME_NAMESPACE}}}{part}" for part in path.split("/"))


def _find(parent: ET.Element, path: str) -> ET.Element:
    found = parent.find(_path(path))
    if found is None:
        raise ValueError(f"{path} is missing")
    return found
