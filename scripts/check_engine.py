"""Compare every engine with torch.nn on 10,000 random cases (lengths, cells, layers, directions, states): minutes.

    python scripts/check_engine.py

The tests do the same on a few hundred.
"""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    tests = Path(__file__).parents[1] / "tests" / "test_lstm.py"
    sys.exit(pytest.main([str(tests), "-k", "any_lengths", "--hypothesis-profile=long", "-q"]))
