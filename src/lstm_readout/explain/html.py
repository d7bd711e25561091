"""An explanation goes in; one self-contained HTML page comes out: no other file, no network."""

from __future__ import annotations

import re
from html import escape

from lstm_readout.explain.diagram import FAINT, INK, MUTED, PAPER, READ
from lstm_readout.explain.explanation import Explanation, SideExplanation, number, read_parts
from lstm_readout.explain.identities import Identity

_COLORS = {INK: "ink", PAPER: "paper", "#ffffff": "paper", MUTED: "muted", FAINT: "faint", READ: "read"}
STYLE = """
:root { color-scheme: light dark; --ink: #1b1c1d; --paper: #ffffff; --ground: #f5f6f7; --muted: #5b5c5d;
  --faint: #e6e7e8; --line: #d9dbdd; --read: #0a4f8f; --wash: #e8f0f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9eaeb; --paper: #191b1e; --ground: #101214; --muted: #a5a9ad; --faint: #2b2e32; --line: #34383c;
    --read: #7cb8f2; --wash: #1b2b3b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: clamp(1.5rem, 4.5vw, 2.25rem); line-height: 1.25; margin: 0 0 .6rem; text-wrap: balance; }
h2 { font-size: 1.35rem; margin: 3rem 0 .4rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; max-width: 46rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .9em; }
code { overflow-wrap: anywhere; }
.muted { color: var(--muted); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; overflow-x: auto;
  margin: .8rem 0; }
figure.card { padding: .5rem; }
figure svg { display: block; width: 100%; min-width: 46rem; height: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .8rem 0; }
dt { color: var(--muted); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .9rem; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
th code { overflow-wrap: normal; }
thead th { font-size: .82rem; font-weight: 600; color: var(--muted); }
tbody th { font-weight: 600; }
.mark { color: var(--read); font-weight: 700; white-space: nowrap; }
td small, th small { display: block; color: var(--muted); white-space: normal; font-size: .86rem; font-weight: 400; }
td.number { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.nowrap { white-space: nowrap; }
td small.read { color: var(--read); font-weight: 600; }
tr.read > * { background: var(--wash); }
.code { position: relative; }
pre { margin: 0; padding: 1rem 1.1rem; overflow-x: auto; line-height: 1.5; }
button { position: absolute; top: .6rem; right: .6rem; font: inherit; font-size: .85rem; padding: .25rem .8rem;
  color: var(--ink); background: var(--ground); border: 1px solid var(--line); border-radius: 6px; cursor: pointer; }
button:focus-visible, .card:focus-visible { outline: 3px solid var(--read); outline-offset: 2px; }
@media (max-width: 36rem) { th, td { padding: .45rem .6rem; } main { padding: 1.5rem .9rem 3rem; } }
"""
SCRIPT = """
const button = document.querySelector("button"), lines = document.querySelector("pre code");
button.hidden = false;
button.addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(lines.textContent); button.textContent = "Copied"; }
  catch { getSelection().selectAllChildren(lines); button.textContent = "Selected"; }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});
"""


def page_of(explanation: Explanation) -> str:
    """Return the whole page."""
    first = explanation.sides[0]
    title = escape(explanation.title)
    parts = [f"<h1>{title}</h1>"]
    parts += [f'<p class="muted">{_upper(escape(side.reading.because))}.</p>' for side in explanation.sides]
    parts.append(
        f'<figure class="card" tabindex="0" aria-label="Diagram">{inline(explanation.picture.svg, explanation.title)}'
        "</figure>"
    )
    parts.append(
        '<p class="muted">Layers go upwards, time goes to the right. Hatched boxes with a thick border are read by the '
        f"task; the row shown is row {first.row} of the batch.</p>"
    )
    parts += [_side(side) for side in explanation.sides]
    if explanation.between:
        parts.append("<h2>From the encoder to the decoder</h2>" + _identities(explanation.between))
    parts.append(
        '<h2 id="code">The same in plain PyTorch</h2><div class="card code" tabindex="0" aria-label="Python code">'
        f'<button type="button" hidden>Copy</button><pre><code>{escape(explanation.code)}</code></pre></div>'
    )
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{title}</title>\n<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def inline(svg: str, title: str) -> str:
    """Return the picture as an element of the page: with the page's colours and width."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    head, rest = svg.split(">", 1)
    (view,) = re.findall(r'viewBox="[^"]+"', head)
    for color, name in _COLORS.items():
        rest = rest.replace(color, f"var(--{name})")
    return f'<svg {view} role="img" aria-label="{escape(title, quote=True)}">{rest}'


def _side(side: SideExplanation) -> str:
    name = "The LSTM" if side.name == "lstm" else f"The {side.name}"
    tokens = " ".join(f"<code>{escape(token)}</code>" for token in side.tokens[:200])
    return "\n".join(
        [
            f"<h2>{name}</h2>",
            "<dl>",
            f"<dt>module</dt><dd><code>{escape(side.call)}</code></dd>",
            f"<dt>read</dt><dd><code>{escape(side.reading.expression)}</code></dd>",
            f"<dt>where</dt><dd><code>{escape(side.reading.line)}</code>"
            f' <span class="muted">{escape(side.reading.place)}</span></dd>',
            f"<dt>batch</dt><dd>{len(side.lengths)} rows with {', '.join(map(str, side.lengths))} real steps</dd>",
            f'<dt>row {side.row}</dt><dd dir="auto">{tokens}{" …" if len(side.tokens) > 200 else ""}</dd>',
            "</dl>",
            "<h3>Tensors: axes and this batch's numbers</h3>",
            _tensors(side),
            "<h3>Computed on this batch with this model's weights</h3>",
            _identities(side.identities),
            "<h3>The proof: the gradient of the loss for each part alone</h3>",
            "<p>Each part is detached from the rest and passed to the model as a separate tensor. Where the gradient "
            "is 0, the loss does not depend on it.</p>",
            _gradients(side),
        ]
    )


def _tensors(side: SideExplanation) -> str:
    rows = []
    for line in side.tensors:
        shape = f'({", ".join(line.axes)}) = <span class="nowrap">{line.shape}</span>'
        read = f'<small class="read">read: {escape(line.read)}</small>' if line.read else ""
        cells = [
            f'<th scope="row"><code>{line.name}</code></th>',
            f"<td>{shape}<small>{escape(line.meaning)}</small>{read}</td>",
            f"<td>{_mark(bool(line.read))}</td>",
        ]
        rows.append((bool(line.read), cells))
    return _table("Tensors", ["tensor", "(axes) = shape, and what one element means", "read"], rows)


def _identities(identities: list[Identity]) -> str:
    rows = []
    for identity in identities:
        by_row = f"<small>by row: {', '.join(map(number, identity.rows))}</small>" if identity.rows else ""
        rows.append(
            (
                False,
                [
                    f'<th scope="row"><code>{escape(identity.claim)}</code>'
                    f"<small>{escape(identity.because)}</small>{by_row}</th>",
                    f'<td class="number">{number(identity.difference)}</td>',
                    f'<td class="nowrap">{"✓ holds" if identity.holds else "<strong>✗ fails</strong>"}</td>',
                ],
            )
        )
    return _table("Claims", ["claim", "largest |difference|", "verdict"], rows)


def _gradients(side: SideExplanation) -> str:
    rows = [
        (
            bool(gradient),
            [
                f'<th scope="row"><code>{name}</code></th>',
                f"<td>{place}</td>",
                f'<td class="number">{number(gradient)}</td>',
                f"<td>{_mark(bool(gradient))}</td>",
            ],
        )
        for name, place, gradient in read_parts(side)
    ]
    return _table("Gradients", ["part", "which", "largest |gradient|", "verdict"], rows)


def _table(name: str, headings: list[str], rows: list[tuple[bool, list[str]]]) -> str:
    heads = "".join(
        f'<th scope="col"{" class=number" if "|" in heading else ""}>{heading}</th>' for heading in headings
    )
    body = "".join(f"<tr{' class=read' if read else ''}>{''.join(cells)}</tr>\n" for read, cells in rows)
    return (
        f'<div class="card" tabindex="0" aria-label="{name}"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _mark(read: bool) -> str:
    return '<span class="mark">● read</span>' if read else '<span class="muted">–</span>'


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
