"""Values go in, strict JSON comes out: a file that is complete or not there, without ``NaN`` and ``Infinity``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_readout.report.output_file import write_file


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write one object; an interrupted call leaves no partial file under that name."""
    write_file(path, as_json(values, indent=2) + "\n")


def as_json(values: Any, indent: int | None = None) -> str:
    """Return strict JSON; a number that is not finite becomes null, with the reason beside it as ``<key>_note``."""
    return json.dumps(_finite(values), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        notes = {f"{key}_note": f"undefined: {one}" for key, one in value.items() if _is_undefined(one)}
        return {key: _finite(one) for key, one in value.items()} | notes
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if _is_undefined(value) else value


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
