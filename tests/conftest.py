"""What every test stands on: one thread, no network, and a data cache that is thrown away."""

import atexit
import os
import shutil
import tempfile

# datasets reads these when it is imported, so they are set before anything else
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="lstm-readout-tests-")
os.environ["LSTM_READOUT_CACHE"] = os.environ["HF_DATASETS_CACHE"]
os.environ["HF_HUB_OFFLINE"] = "1"
if os.environ.get("LSTM_READOUT_DATA"):  # tests go to folders of their own
    os.environ["LSTM_READOUT_DATA"] = os.path.abspath(os.environ["LSTM_READOUT_DATA"])  # noqa: PTH100
atexit.register(shutil.rmtree, os.environ["HF_DATASETS_CACHE"], ignore_errors=True)

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("tests", deadline=None, max_examples=40)
settings.register_profile("long", deadline=None, max_examples=10_000)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def seed() -> None:
    """Start every test from the same chance, whatever ran before it."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; begin with the longest files, so that all processes end together."""
    items.sort(key=lambda item: "whole" not in item.path.parts)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU that torch can use"))
