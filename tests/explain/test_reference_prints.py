"""Four prints that are copied from page to page: what of them today's torch gives, and what they teach.

The numbers are those of the prints; ``docs/learn/prints.md`` shows the programs, which run here as they stand there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

PAGE = (Path(__file__).parents[2] / "docs" / "learn" / "prints.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.S)
DEPTH_ONE = """
0.1140 -0.0600 -0.0540 0.1492 -0.0339 -0.0150 -0.0486 0.0188 0.0504 0.0595
-0.0176 -0.0035 0.0384 -0.0274 0.1076 0.0843 -0.0443 0.0218 -0.0093 0.0002
0.1335 0.0926 0.0101 -0.1300 -0.1141 0.0072 -0.0142 0.0018 0.0071 0.0247
0.0262 0.0109 0.0374 0.0366 0.0017 0.0466 0.0063 0.0295 0.0536 0.0339
0.0528 -0.0305 0.0243 -0.0324 0.0045 -0.1108 -0.0041 -0.1043 -0.0141 -0.1222
"""

# program -> one line each: output, h_n, c_n of step 0, of step 1, …
PRINTED = {
    "one layer": """
-0.1124 -0.0653 0.2808
-0.1124 -0.0653 0.2808
-0.2883 -0.2846 2.0720
0.1675 -0.0376 0.4402
0.1675 -0.0376 0.4402
0.4394 -0.1226 1.5611
0.3699 0.0150 0.1429
0.3699 0.0150 0.1429
0.8432 0.0618 0.9413
0.1795 0.0296 0.2957
0.1795 0.0296 0.2957
0.4541 0.1121 0.9320
0.1365 0.0596 0.3931
0.1365 0.0596 0.3931
0.3430 0.1948 1.0255
""",
    "two layers": """
-0.0819 0.1214 -0.2586
-0.2625 0.4415 -0.4917 -0.0819 0.1214 -0.2586
-2.5740 0.7832 -0.9211 -0.2803 0.5175 -0.5330
-0.1298 0.2797 -0.0882
-0.3818 0.3306 -0.3020 -0.1298 0.2797 -0.0882
-2.3980 0.6347 -0.6592 -0.3643 0.9301 -0.1326
-0.1630 0.3187 0.0728
-0.5612 0.3134 -0.0782 -0.1630 0.3187 0.0728
-1.7555 0.6882 -0.3575 -0.4571 1.2094 0.1061
-0.1723 0.3274 0.1546
-0.5112 0.1597 -0.0901 -0.1723 0.3274 0.1546
-1.4417 0.5892 -0.2489 -0.4940 1.3620 0.2255
-0.1847 0.2968 0.1333
-0.3256 0.3217 -0.1899 -0.1847 0.2968 0.1333
-1.7925 0.6096 -0.4432 -0.5147 1.4031 0.2014
""",
    "two layers, two directions": """
-0.4620 0.1115 -0.1087 0.1646 0.0173 -0.2196
0.5187 0.2656 -0.2543 0.4175 0.0539 0.0633 -0.4620 0.1115 -0.1087 0.1646 0.0173 -0.2196
1.1546 0.4012 -0.4119 0.7999 0.2632 0.2587 -1.4196 0.2075 -0.3148 0.6605 0.0243 -0.5783
-0.1860 0.1359 -0.2719 0.0815 0.0061 -0.0980
0.2945 0.0842 -0.1580 0.2766 -0.1873 0.2416 -0.1860 0.1359 -0.2719 0.0815 0.0061 -0.0980
0.5453 0.1281 -0.2497 0.9706 -0.3592 0.4834 -0.3706 0.2681 -0.6189 0.2029 0.0121 -0.3028
0.1095 0.1520 -0.3238 0.0283 0.0387 -0.0820
0.1427 0.0859 -0.2926 0.1536 -0.2343 0.0727 0.1095 0.1520 -0.3238 0.0283 0.0387 -0.0820
0.2386 0.1646 -0.4102 0.2636 -0.4828 0.1889 0.1967 0.2848 -0.7155 0.0735 0.0702 -0.2859
0.2346 0.1576 -0.4006 -0.0053 0.0256 -0.0653
0.1706 0.0147 -0.0341 0.1835 -0.3951 0.2506 0.2346 0.1576 -0.4006 -0.0053 0.0256 -0.0653
0.3422 0.0269 -0.0475 0.4235 -0.9144 0.5655 0.4589 0.2807 -0.8332 -0.0133 0.0507 -0.1996
0.2774 0.1639 -0.4460 -0.0228 0.0086 -0.0369
0.2147 -0.0191 0.0677 0.2516 -0.4591 0.3327 0.2774 0.1639 -0.4460 -0.0228 0.0086 -0.0369
0.4414 -0.0299 0.0889 0.6360 -1.2360 0.7229 0.5692 0.2843 -0.9375 -0.0569 0.0177 -0.1039
""",
}
SIZES = {"one layer": (1, False), "two layers": (2, False), "two layers, two directions": (2, True)}


def five_steps(num_layers, bidirectional):
    """Return (output, h_n, c_n) of each step, the state handed on from step to step."""
    torch.manual_seed(1)
    rows = num_layers * (2 if bidirectional else 1)
    inputs = [torch.randn(1, 3) for _ in range(5)]
    state = torch.randn(rows, 1, 3), torch.randn(rows, 1, 3)
    lstm = nn.LSTM(3, 3, num_layers=num_layers, bidirectional=bidirectional)
    steps = []
    for x in inputs:
        with torch.no_grad():
            output, state = lstm(x.view(1, 1, 3), state)
        steps.append((output, *state))
    return steps


def printed(name):
    """Return (output, h_n, c_n) of each step as they were printed."""
    lines = [line.split() for line in PRINTED[name].strip().splitlines()]
    return [lines[start : start + 3] for start in range(0, 15, 3)]


def digits(values):
    """Return numbers as a print shows them."""
    return [f"{value:.4f}" for value in values.flatten().tolist()]


def came_out(name):
    """Return what today's torch gives for a program, and what was printed, in digits."""
    return [[digits(part) for part in step] for step in five_steps(*SIZES[name])], printed(name)


def test_of_depth_one_the_last_output_is_h_n_digit_for_digit():
    torch.manual_seed(0)
    lstm = nn.LSTM(input_size=1, hidden_size=50, num_layers=1)
    with torch.no_grad():
        output, (h_n, _) = lstm(torch.rand(50, 1, 1))
    assert torch.equal(output[-1], h_n[-1])
    assert digits(output[-1]) == DEPTH_ONE.split()


@pytest.mark.parametrize("name", ["one layer", "two layers, two directions"])
def test_the_print_comes_back_digit_for_digit(name):
    given, wanted = came_out(name)
    assert given == wanted


def test_the_print_of_two_layers_does_not_come_out_of_its_code():
    given, wanted = came_out("two layers")
    assert all(mine[0] != theirs[0] for mine, theirs in zip(given, wanted, strict=True))


@pytest.mark.parametrize("name", SIZES)
def test_output_is_the_last_layer_of_h_n_at_every_step(name):
    halves = 2 if SIZES[name][1] else 1
    for output, h_n, _ in five_steps(*SIZES[name]):
        assert torch.equal(output.flatten(), h_n[-halves:].flatten())
    for output, h_n, _ in printed(name):  # of the print that does not come back, too
        assert output == h_n[-3 * halves :]


@pytest.mark.parametrize(("code", "told"), PROGRAMS, ids=["depth one", *SIZES])
def test_a_program_of_the_page_prints_what_stands_there(code, told, capsys):
    exec(compile(code, "docs/learn/prints.md", "exec"), {})
    assert capsys.readouterr().out == told


def test_the_page_says_which_print_does_not_come_back():
    assert len(PROGRAMS) == 4
    for output, *_ in printed("two layers"):
        assert re.search(r"\s+".join(map(re.escape, output)), PAGE)
    assert "This code does not print them" in PAGE
