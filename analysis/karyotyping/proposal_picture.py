"""The picture that a proposal is of: named in the file, found again, and recognised by its content."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import quote, unquote_to_bytes

from analysis.errors import ProposalFileError
from analysis.imaging.image_file import read_image
from analysis.structures.grey_image import GreyImage


def image_sha256(image: GreyImage) -> str:
    """sha256 of a picture's grey pixels, row by row."""
    return hashlib.sha256(image.pixels.tobytes()).hexdigest()


def image_reference(source: str, folder: Path | None) -> str:
    """How a file names its picture: by a path relative to itself, with forward slashes.

    Parameters
    ----------
    source
        Where the picture was read from, or its name.
    folder
        The file's; None gives the picture's name.
    """
    path = Path(source)
    if folder is None or not path.is_file():
        return _as_text(path.name)
    try:
        return _as_text(PurePath(os.path.relpath(path.resolve(), folder.resolve())).as_posix())
    except ValueError:
        # Windows has no path from one drive to another.
        return _as_text(path.name)


def _as_text(name: str) -> str:
    """A file name as text; bytes of one that isn't UTF-8 as in an address (``%FC``)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return quote(os.fsencode(name), safe="/ ")
    return name


def find_image(
    reference: str, proposal: Path, size: tuple[int, int], sha256: str | None, *, plane: int | None = None
) -> GreyImage:
    """Read the picture that a proposal names, from where the file says or from beside it.

    Parameters
    ----------
    reference
        What the file says: a path, relative to the file or absolute.
    proposal
        The file.
    size
        (height, width) that the file says, px.
    sha256
        Of the picture's grey pixels; None where the file doesn't say.
    plane
        Which of several planes it is, counted from 1; None for the sharpest.

    Raises
    ------
    ProposalFileError
        It isn't there, or another picture is.
    ImageError
        It can't be read.
    """
    # A file may come from another system, whose separators aren't ours.
    places = [proposal.parent / reference, proposal.parent / PureWindowsPath(reference).name]
    if sha256 is None:
        # Files of the first version, which record no content, name the picture as it was named to the software.
        places.insert(0, Path(reference))
    if "%" in reference:
        places.append(proposal.parent / os.fsdecode(unquote_to_bytes(reference)))
    refusal: ProposalFileError | None = None
    for path in dict.fromkeys(places):
        try:
            regular = stat.S_ISREG(path.stat().st_mode)
        except (OSError, ValueError):
            continue
        if not regular:
            refusal = refusal or ProposalFileError("isn't a regular file", place="image", path=proposal)
            continue
        image = read_image(path, plane)
        try:
            check_image(image, proposal, size, sha256)
        except ProposalFileError as error:
            refusal = refusal or error
        else:
            return image
    if refusal is not None:
        raise refusal
    raise ProposalFileError(
        f"there is no picture {reference!r}; put it back or beside this file", place="image", path=proposal
    )


def check_image(image: GreyImage, proposal: Path, size: tuple[int, int], sha256: str | None) -> None:
    """Make sure that a picture is the one that a proposal is of.

    Parameters
    ----------
    image
        The picture.
    proposal
        The file, for messages.
    size, sha256
        See `find_image`.

    Raises
    ------
    ProposalFileError
        It is another one.
    """
    if size != image.pixels.shape:
        raise ProposalFileError(
            f"is of a picture of {size[1]} x {size[0]} px, {image.source} has another size", path=proposal
        )
    if sha256 is not None and sha256 != image_sha256(image):
        raise ProposalFileError(
            f"{image.source} isn't the picture that this proposal is of: its content differs; "
            "put the original back, or karyotype this one anew",
            place="image_sha256",
            path=proposal,
        )
