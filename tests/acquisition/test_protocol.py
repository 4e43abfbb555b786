from pathlib import Path

import pytest
import yaml

from acquisition.errors import ProtocolError
from acquisition.protocol import load_protocol

PROTOCOLS = Path(__file__).parents[2] / "protocols"


@pytest.mark.parametrize("path", sorted(PROTOCOLS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_protocols_load(path):
    assert load_protocol(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["scan"].update(overlapp=0.2),
            "scan.overlapp: unknown key; allowed here: area, background, exposure",
        ),
        (lambda d: d["scan"].update(overlap=0.9), "scan.overlap: found 0.9"),
        (lambda d: d["scan"]["area"].update(x_max_um=0), "x_min_um must be below x_max_um"),
        (lambda d: d["capture"].update(oil="maybe"), "capture.oil: found 'maybe'; input should be 'allowed' or"),
        (lambda d: d.update(banding="C"), "banding: found 'C'"),
        (lambda d: d["capture"].pop("number"), "capture.number: required key is missing"),
        (lambda d: d["scan"].update(exposure_ms=float("inf")), "scan.exposure_ms: found inf"),
    ],
)
def test_a_wrong_protocol_is_refused_with_file_line_key_and_allowed(tmp_path, change, message):
    data = yaml.safe_load((PROTOCOLS / "demo.yaml").read_text())
    change(data)
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ProtocolError) as caught:
        load_protocol(path)
    assert message in str(caught.value)
    assert caught.value.path == path
    assert caught.value.line is not None
    assert "\n" not in str(caught.value)
