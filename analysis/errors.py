"""The errors of the analysis.

::

    AnalysisError
    +-- ImageError         the image can't be read or can't be worked on
    |   +-- NoMetaphaseError   readable, but there is no metaphase on it
    +-- WeightsError       weights are missing, damaged or of another net
    +-- DatasetError       a data set isn't there or isn't what it should be
    |   +-- ProposalFileError  a file is no karyotype proposal, or one that contradicts itself
    +-- IscnError          an ISCN string isn't one, or its parts don't add up
    +-- EditError          an edit of a cell can't be carried out
        +-- NoSuchObjectError    it names a chromosome, pile or explanation that isn't there
        +-- OutsidePictureError  it lies outside of the picture
        +-- NothingStainedError  there is no chromosome where it asks for one
        +-- SameChromosomeError  it asks for a chromosome that is there already
        +-- EditShapeError       its line, outline or pieces don't fit the chromosomes it names
"""

from __future__ import annotations

from pathlib import Path


class AnalysisError(Exception):
    """Root of the analysis' errors.

    Parameters
    ----------
    message
        One line for the user.
    path
        File concerned, where there is one.
    """

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        self.path = path
        super().__init__(message if path is None else f"{path}: {message}")


class ImageError(AnalysisError):
    """The image can't be read or can't be worked on."""


class NoMetaphaseError(ImageError):
    """The image is readable, but there is no metaphase on it."""


class WeightsError(AnalysisError):
    """Weights are missing, damaged or belong to another net."""


class DatasetError(AnalysisError):
    """A data set isn't there or isn't what it should be."""


class ProposalFileError(DatasetError):
    """A file is no karyotype proposal, or one that contradicts itself.

    Parameters
    ----------
    problem
        What is wrong, and what to do where that isn't plain.
    place
        Where in the file, such as ``chromosomes[3].class``; empty where it is the file as a whole.
    path
        The file.
    """

    def __init__(self, problem: str, *, place: str = "", path: Path | None = None) -> None:
        self.problem = problem
        self.place = place
        super().__init__(f"{place}: {problem}" if place else problem, path=path)


class IscnError(AnalysisError):
    """An ISCN string isn't one, or its parts don't add up to its count."""


class EditError(AnalysisError):
    """An edit of a cell can't be carried out; the cell is as it was before.

    Parameters
    ----------
    operation
        The edit's.
    problem
        What is wrong with it, and what to do.
    """

    def __init__(self, operation: str, problem: str) -> None:
        self.operation = operation
        self.problem = problem
        super().__init__(f"{operation}: {problem}")


class NoSuchObjectError(EditError):
    """An edit names a chromosome, pile, explanation or object that isn't there."""


class OutsidePictureError(EditError):
    """An edit lies outside of the picture."""


class NothingStainedError(EditError):
    """There is no chromosome where an edit asks for one."""


class SameChromosomeError(EditError):
    """An edit asks for a chromosome that is there already."""


class EditShapeError(EditError):
    """Line, outline, axes or pieces of an edit don't fit the chromosomes that it names."""
