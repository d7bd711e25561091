"""Many styles: nothing is found in any right module, and in each broken one its mistake and nothing else."""

import re
from pathlib import Path

import pytest
import test_doctor_checks as checks
import torch

from lstm_readout import doctor
from lstm_readout_broken_modules import VOCABULARY
from lstm_readout_more_broken_modules import BROKEN
from lstm_readout_right_modules import MEANT, RIGHT


def batch(lengths):
    lengths = torch.tensor(lengths)
    token_ids = torch.randint(1, VOCABULARY, (len(lengths), int(lengths.max())))
    return token_ids.masked_fill(torch.arange(token_ids.shape[1]) >= lengths[:, None], 0), lengths


def read(task, module, adaptor=None):
    rows = batch((25, 3, 9, 14, 7, 20, 1))
    if task == "translate":
        return doctor.check_translator(module, *rows, *batch((4, 8, 6, 12, 11, 9, 2)))
    return doctor.check(module, *rows, task=task, adaptor=adaptor)


@pytest.mark.parametrize("style", sorted(RIGHT))
def test_nothing_is_found_in_a_right_module(style):
    task, build, adaptor = RIGHT[style]
    report = read(task, build(), adaptor)
    assert (report.failed, report.warned) == ([], []), str(report)


@pytest.mark.parametrize("mistake", sorted(BROKEN))
def test_a_mistake_is_found_and_nothing_else(mistake):
    task, name, build = BROKEN[mistake]
    report = read(task, build())
    wanted = ([], [name[:-1]]) if name.endswith("?") else ([name], [])
    assert (report.failed, report.warned) == wanted, str(report)


@pytest.mark.parametrize("purpose", sorted(MEANT))
def test_what_is_right_for_one_purpose_is_never_a_failure(purpose):
    name, build = MEANT[purpose]
    report = read("classify", build())
    assert (report.failed, report.warned) == ([], [name]), str(report)


def test_a_module_that_writes_in_eval_mode_says_what_was_not_looked_at():
    report = read("translate", RIGHT["translator that writes in eval mode"][1]())
    assert report.result("steps").status == "skipped"
    assert "pass an adaptor that gives it the target" in report.result("steps").difference


def test_the_page_counts_these_modules():
    page = (Path(__file__).parents[2] / "docs" / "do" / "doctor.md").read_text(encoding="utf-8")
    broken = sum(map(len, (BROKEN, checks.CLASSIFY, checks.GENERATE, checks.WARNED, checks.TRANSLATE)))
    counts = re.findall(r"^\| (right|with one mistake) \| (\d+) \| (?:all )?(\d+)", page, re.M)
    assert counts == [("right", *2 * (str(len(RIGHT)),)), ("with one mistake", *2 * (str(broken),))]
