"""The path of a checkpoint goes in, its plain values and tensors come out: nothing in it runs, and no more memory is
taken than the file is long.

``torch.load(weights_only=True)`` runs no code, but it reads damaged bytes, unpacks compressed ones, and lets a file
ask for memory by number. All three are refused before and after it reads.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.plain import shown

_MOST_OPCODES = 1_000_000
_MOST_VIEWS = 4  # tied weights are views of one storage: together they may be so many times as long as the file
_KNOWN = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)|(__builtin__|builtins) set|torch (Size|device)"
    r"|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage|torch (b?float|int|uint|bool|complex)\d*"
)  # what the pickle of a checkpoint names


def read_content(path: Path) -> dict[str, Any]:
    """Return what a checkpoint file holds.

    Raises:
        UserError: it cannot be read, is damaged, or holds more than tensors and plain values.
    """
    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()
            raise _refusal(path, "it is truncated, or not a checkpoint")
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_tensors(path, content)
    except UserError:
        raise
    except PermissionError as error:
        raise _refusal(path, "no permission") from error
    except zipfile.BadZipFile as error:
        raise _refusal(path, "it is damaged") from error
    except Exception as error:  # broken bytes can raise nearly every kind of exception
        raise _refusal(path, "it contains more than tensors and plain values") from error
    return content


def _refusal(path: Path, reason: str) -> UserError:
    return UserError(f"checkpoint: could not read '{path}': {reason}. Use another file of the run.")


def _check_archive(path: Path) -> None:
    """Check names, sizes and checksums of the members, and the names that the pickle imports."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename.lower() for member in members]
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
            raise _refusal(path, "it is compressed, which no checkpoint is")
        if sum(member.file_size for member in members) > path.stat().st_size or len(set(names)) < len(names):
            raise _refusal(path, "its parts overlap")
        damaged = archive.testzip()
        if damaged is not None:
            raise _refusal(path, f"it is damaged: the checksum of {Path(damaged).name!r} in it is wrong")
        pickles = [member for member in members if member.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in names):
            raise _refusal(path, "it is not a checkpoint")
        _check_pickle(path, archive.read(pickles[0]))


def _check_pickle(path: Path, pickled: bytes) -> None:
    for number, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(pickled))):
        if number > _MOST_OPCODES:
            raise _refusal(path, f"it has more than {_MOST_OPCODES:,} values")
        if opcode.name in ("GLOBAL", "INST") and _KNOWN.fullmatch(str(argument)) is None:
            name = str(argument).replace("__builtin__", "builtins").replace(" ", ".")[:80]
            raise _refusal(path, f"it contains more than tensors and plain values: {name}")


def _check_tensors(path: Path, content: Any) -> None:
    """Check the weights: dense, each within its storage, all within the file."""
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise UserError(f"checkpoint: '{path}' was not written by lstm-readout. Give a .ckpt file of one of its runs.")
    total, size = 0, path.stat().st_size
    for name, value in weights.items():
        if type(name) is not str or not isinstance(value, Tensor):
            raise _refusal(path, f"the weight {shown(name)} is {shown(value)}, not a tensor")
        if value.layout is not torch.strided or value.is_quantized or value.is_complex():
            raise _refusal(path, f"the weight {shown(name)} is not a dense tensor of real numbers")
        length = value.numel() * value.element_size()
        total += length
        if length > value.untyped_storage().nbytes() or total > _MOST_VIEWS * size:
            raise _refusal(path, f"the weight {shown(name)} is declared larger than the file")
