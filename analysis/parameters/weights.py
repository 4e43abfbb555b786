"""Weights that are part of the product: a ``.safetensors`` file and its manifest, checked before use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from analysis.errors import WeightsError

WEIGHTS_DIR = Path(__file__).parent / "files"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where weights come from and how good they are.

    Attributes
    ----------
    name
        Name of the files without their endings.
    net, arguments
        Class of the net and the arguments it was made with.
    data
        Training examples of every source.
    split, command, settings, seed, steps, torch, date
        How to make the weights again.
    metrics
        Validation figures.
    sha256
        Of the ``.safetensors`` file.
    calibration
        Numbers found after training on the validation split, such as a temperature.
    drift
        Mean and standard deviation of statistics of what it was trained on, against which a drift can be told.
    """

    name: str
    net: str
    arguments: dict[str, Any]
    data: dict[str, int]
    split: str
    command: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    seed: int
    steps: int
    torch: str
    date: str
    sha256: str = ""
    calibration: dict[str, float] = field(default_factory=dict)
    drift: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """State of one set of weights, for a look at the installation.

    Attributes
    ----------
    name
        Name of the files without their endings.
    intact
        True where the file is what its manifest says.
    message
        What is wrong, or size and date.
    """

    name: str
    intact: bool
    message: str


def read_manifest(name: str, folder: Path = WEIGHTS_DIR) -> Manifest:
    """Read a manifest.

    Raises
    ------
    WeightsError
        Where it is missing or isn't a manifest.
    """
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"the manifest can't be read ({error.strerror})", path=path) from error
    except ValueError as error:
        raise WeightsError("the manifest is damaged", path=path) from error
    known = {entry.name for entry in fields(Manifest)}
    if not isinstance(content, dict) or not {"name", "net", "arguments", "sha256"} <= content.keys() <= known:
        raise WeightsError("the manifest has missing or unknown entries", path=path)
    try:
        return Manifest(**content)
    except TypeError as error:
        raise WeightsError("the manifest has missing entries", path=path) from error


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
        Tensors by parameter name.

    Raises
    ------
    WeightsError
        Where a file is missing, damaged or not the one the manifest describes.
    """
    manifest = read_manifest(name, folder)
    path = folder / f"{name}.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"the weights can't be read ({error.strerror})", path=path) from error
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise WeightsError("the weights are damaged: their sha256 isn't the manifest's", path=path)
    try:
        return dict(load_tensors(content))
    except SafetensorError as error:
        raise WeightsError("the weights are no safetensors file", path=path) from error


def fill_net(net: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Put weights into a net and make it ready for use.

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

    Returns
    -------
    Path
        The ``.safetensors`` file.
    """
    content = save_tensors({key: value.contiguous() for key, value in tensors.items()})
    complete = replace(manifest, sha256=hashlib.sha256(content).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest.name}.safetensors"
    write_whole(path, content)
    text = json.dumps(asdict(complete), indent=2, sort_keys=True) + "\n"
    write_whole(folder / f"{manifest.name}.json", text.encode())
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def weights_status(folder: Path = WEIGHTS_DIR) -> list[WeightsStatus]:
    """Look at every set of weights of the product."""
    names = sorted({path.stem for pattern in ("*.json", "*.safetensors") for path in folder.glob(pattern)})
    if not names:
        return [WeightsStatus("-", False, f"there are no weights in {folder}")]
    states = []
    for name in names:
        try:
            load_weights(name, folder)
            size = (folder / f"{name}.safetensors").stat().st_size
            manifest = read_manifest(name, folder)
            states.append(WeightsStatus(name, True, f"{size / 1e6:.1f} MB, {manifest.date}"))
        except WeightsError as error:
            states.append(WeightsStatus(name, False, str(error)))
    return states
