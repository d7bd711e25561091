"""JSON files that any reader can read."""

import json
import math

from lstm_readout.report.json_writer import write_json


def test_an_undefined_number_is_null_with_its_reason(tmp_path):
    values = {"val/loss": math.nan, "rows": 3, "parts": [{"ratio": -math.inf, "name": "nan"}, [math.inf, 1.5]]}
    write_json(tmp_path / "metrics.json", values)

    def refuse(constant):
        raise AssertionError(f"not JSON: {constant}")

    assert json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse) == {
        "val/loss": None,
        "rows": 3,
        "parts": [{"ratio": None, "name": "nan", "ratio_note": "undefined: -inf"}, [None, 1.5]],
        "val/loss_note": "undefined: nan",
    }
