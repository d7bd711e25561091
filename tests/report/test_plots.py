"""Pictures of a run, whatever its labels are."""

import csv

import pytest
from matplotlib.image import imread

from lstm_readout.report.plots import plot_confusion

ODD = ["$\\frac{$", "_x", "x" * 300, "two\nlines", "$a$", "%d {}"]


@pytest.mark.filterwarnings("ignore:.*missing from font")
def test_any_label_can_be_drawn(tmp_path):
    plot_confusion([[1] * len(ODD)] * len(ODD), ODD, tmp_path)
    height, width = imread(tmp_path / "confusion.png").shape[:2]
    assert max(height, width) < 3000
    with (tmp_path / "confusion.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:] == ODD, "the table has them whole"
