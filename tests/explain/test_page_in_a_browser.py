"""The page in a real browser: it renders, fits every width, needs no network, and can be read in light and in dark."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from PIL import Image
from small_models import small_task

from lstm_readout.explain.explanation import explanation_of
from lstm_readout.explain.html import page_of

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
ODD = "$x_1$ <b>bold</b> </script> &amp; 漢字 👨‍👩‍👧 مرحبا [bold]"
MODELS = {
    "classify": {"num_layers": 2, "bidirectional": True},
    "generate": {"num_layers": 6, "cell": "gru"},
    "translate": {"num_layers": 2, "bidirectional": True, "proj_size": 3},
}
# Appended to a copy of the page: what a reader would see, as one line of JSON
PROBE = """<script>
const problems = [];
addEventListener("error", event => problems.push(event.message), true);
addEventListener("securitypolicyviolation", event => problems.push(event.blockedURI));
function measure(width) {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  frame.srcdoc = document.documentElement.outerHTML.replace(/<script[^]*?<\\/script>/g, "");
  document.body.append(frame);
  return new Promise(done => frame.onload = () => {
    const root = frame.contentDocument.documentElement;
    const outside = [...root.querySelectorAll("main > *, dl > *, .card")].filter(
      element => element.getBoundingClientRect().right > width + 0.5).map(element => element.tagName);
    const svg = root.querySelector("svg").getBoundingClientRect();
    const found = {width, scroll: root.scrollWidth, outside, svg: [svg.width, svg.height]};
    frame.remove();
    done(found);
  });
}
function rgb(element, name) {
  return getComputedStyle(element)[name].match(/[\\d.]+/g).slice(0, 3).map(Number);
}
addEventListener("load", async () => {
  const ground = element => {
    while (element && getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement;
    return rgb(element || document.body, "backgroundColor");
  };
  const told = {problems, sizes: [await measure(400), await measure(1200)], colors: []};
  for (const element of document.querySelectorAll("h1, p, dt, dd, th, td, small, code, .mark, button"))
    if (element.textContent.trim()) told.colors.push([element.tagName, rgb(element, "color"), ground(element)]);
  for (const element of document.querySelectorAll("svg text"))
    told.colors.push(["svg text", rgb(element, "fill"), ground(element)]);
  const button = document.querySelector("button");
  told.button = [button.hidden, button.textContent];
  told.texts = [...document.querySelectorAll("svg text")].map(text => text.textContent);
  told.code = document.querySelector("pre code").textContent;
  const result = document.createElement("output");
  result.id = "told";
  result.textContent = JSON.stringify(told);
  document.body.append(result);
});
</script></body>"""
FORBIDDEN = """<meta http-equiv="Content-Security-Policy"
    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"></head>"""

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("no chromium is installed", allow_module_level=True)


@pytest.fixture(scope="module")
def explanations():
    made = {}
    for name, model in MODELS.items():
        made[name] = explanation_of(*small_task(name, [3, 9, 5, 30], ODD, **model))
    return made


def browse(folder, address, *arguments):
    assert CHROMIUM is not None, "CI has no chromium: install it"
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments, address],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def told_by(page, folder, *arguments):
    """Return what the probe measured; anything but the page itself is forbidden, and told as a problem."""
    file = folder / "probed.html"
    file.write_text(page.replace("</head>", FORBIDDEN).replace("</body>", PROBE), encoding="utf-8")
    ran = browse(
        folder, file.as_uri(), "--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom", *arguments
    )
    assert "CONSOLE" not in ran.stderr, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    (told,) = re.findall(r'<output id="told">(.*?)</output>', ran.stdout, re.S)
    return json.loads(html.unescape(told))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", MODELS)
def test_the_page_fits_and_can_be_read(name, scheme, explanations, tmp_path):
    explanation = explanations[name]
    told = told_by(page_of(explanation), tmp_path, f"--blink-settings=preferredColorScheme={int(scheme == 'light')}")
    assert told["problems"] == []
    for size in told["sizes"]:
        assert size["scroll"] <= size["width"]
        assert size["outside"] == []
        assert min(size["svg"]) > 200
    assert told["button"] == [False, "Copy"]
    assert told["code"] == explanation.code
    assert "num_layers" in " ".join(told["texts"])
    dark = [sum(ground) < 3 * 128 for _, _, ground in told["colors"]]
    assert set(dark) == {scheme == "dark"}
    for what, color, ground in told["colors"]:
        assert contrast(color, ground) >= 4.5, (what, color, ground)  # WCAG 2.1, 1.4.3


def contrast(one, other):
    """Return the contrast of two colours as WCAG 2.1 defines it."""

    def light(color):
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_screenshot_shows_the_hatched_boxes(explanations, tmp_path):
    (tmp_path / "page.html").write_text(page_of(explanations["classify"]), encoding="utf-8")
    picture = tmp_path / "seen.png"
    browse(tmp_path, (tmp_path / "page.html").as_uri(), f"--screenshot={picture}", "--window-size=1200,900")
    with Image.open(picture) as image:
        colors = {color: count for count, color in image.convert("RGB").getcolors(1 << 24) or []}
    assert colors[(10, 79, 143)] > 500  # the colour of what is read
    assert colors[(255, 255, 255)] > 100_000


@pytest.mark.parametrize("name", MODELS)
def test_the_page_names_nothing_outside_itself(name, explanations):
    page = page_of(explanations[name])
    assert "http" not in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:,|#)""", page)
    assert not re.findall(r"@import|url\((?!#)", page)
    assert "<b>bold" not in page
    assert page.count("</script>") == 1
