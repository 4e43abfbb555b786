"""Weights of nets: parameter sets as tensors, put into a net before use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from analysis.errors import WeightsError
from analysis.parameters.manifest import CONTENT_SUFFIX, Manifest
from analysis.parameters.manifest import read_manifest as _read_manifest
from analysis.parameters.store import PARAMETERS_FOLDER, read_content, write_content

__all__ = [
    "WEIGHTS_DIR",
    "Manifest",
    "fill_net",
    "load_weights",
    "read_manifest",
    "write_weights",
]

WEIGHTS_DIR = PARAMETERS_FOLDER


def read_manifest(name: str, folder: Path = WEIGHTS_DIR) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    name
        Name of the files without their endings.
    folder
        Where they lie; the product's own by default.

    Raises
    ------
    WeightsError
        Where it is missing or isn't a manifest.
    """
    return _read_manifest(name, folder)


def load_weights(name: str, folder: Path = WEIGHTS_DIR) -> dict[str, Tensor]:
    """Read weights that are what their manifest says.

    Parameters
    ----------
    name
        Name of the files without their endings.
    folder
        Where they lie; the product's own by default.

    Returns
    -------
    dict
        Tensors by parameter name, each of the shape that the net had.

    Raises
    ------
    WeightsError
        Where a file is missing, damaged or not the one the manifest describes.
    """
    path = folder / f"{name}{CONTENT_SUFFIX}"
    content = read_content(path, read_manifest(name, folder).sha256)
    try:
        return dict(load_tensors(content))
    except SafetensorError as error:
        raise WeightsError("the weights are no safetensors file", path=path) from error


def fill_net(net: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Put weights into a net and make it ready for use.

    Parameters
    ----------
    net
        Of the class and arguments that the manifest names.
    tensors
        Weights by parameter name, each of the shape that the net has.
    name
        Of the weights, for the message.

    Raises
    ------
    WeightsError
        Where names or shapes are another net's.
    """
    wanted = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    if wanted != given:
        odd = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
        raise WeightsError(f"the weights {name!r} belong to another net: {len(odd)} differ, such as {odd[0]}")
    net.load_state_dict(dict(tensors))
    net.eval()


def write_weights(folder: Path, tensors: Mapping[str, Tensor], manifest: Manifest) -> Path:
    """Write weights and manifest, each whole or not at all; the manifest last.

    Parameters
    ----------
    folder
        Made where it isn't there.
    tensors
        Weights by parameter name, of any shape.
    manifest
        Where they come from; sha256 and whatever else is filled at writing may be empty.

    Returns
    -------
    Path
        The ``.safetensors`` file.
    """
    content = save_tensors({key: value.contiguous() for key, value in tensors.items()})
    return write_content(folder, content, manifest)
