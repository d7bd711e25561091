"""Standard output in other encodings, and with a reader that leaves, in processes of their own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json
from lstm_readout.commands.streams import open_streams
open_streams(ends_with_reader={ends})
for number in range({lines}):
    print(json.dumps({{"label": "größe 日本 🙂"}}, ensure_ascii=False), flush=True)
open("{folder}/finished", "w").close()
"""


def process(tmp_path, *, ends, lines, encoding):
    program = PROGRAM.format(ends=ends, lines=lines, folder=tmp_path)
    environment = {"PYTHONIOENCODING": encoding, "PATH": ""}
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_letter_is_printed_and_json_stays_json(encoding, tmp_path):
    out, told = process(tmp_path, ends=False, lines=1, encoding=encoding).communicate(timeout=60)
    assert told == b""
    assert json.loads(out.decode(encoding)) == {"label": "größe 日本 🙂"}


@pytest.mark.parametrize(("ends", "code"), [(True, 141), (False, 0)])
def test_a_reader_that_leaves(ends, code, tmp_path):
    running = process(tmp_path, ends=ends, lines=20_000, encoding="utf-8")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait(timeout=60) == code
    assert (tmp_path / "finished").exists() is not ends  # a training goes on
