"""The one-page answer for a reader: its HTML, one A4 sheet, nothing from elsewhere."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
@page { size: A4; margin: 13mm 15mm; }
:root { color-scheme: light; --ink: #16202a; --soft: #51606e; --line: #cfd7de; --pale: #f3f6f8;
  --below: #1d6f5c; --above: #9a3412; --warn: #7a4b00; --warnback: #fff6e0; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 10pt/1.42 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
main { max-width: 180mm; margin: 0 auto; padding: 1.2rem; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem;
  border-bottom: 2px solid var(--ink); padding-bottom: 5px; }
h1 { font-size: 16pt; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
header p { margin: 0; color: var(--soft); font-size: 8.5pt; text-align: right; }
h2 { font-size: 8.5pt; margin: 12px 0 3px; color: var(--soft); text-transform: uppercase;
  letter-spacing: .06em; font-weight: 600; }
p { margin: 3px 0; }
.notice { color: var(--soft); font-size: 8.5pt; margin-top: 5px; }
.answer { font-size: 13pt; font-weight: 600; line-height: 1.3; margin: 10px 0 2px; }
.evidence { font-size: 9.5pt; }
.below { color: var(--below); } .above { color: var(--above); }
figure { margin: 0; } figure svg { width: 100%; height: auto; display: block; }
figure img { display: block; max-width: 100%; max-height: 106mm; margin: 2px auto 0; }
figcaption { color: var(--soft); font-size: 8.5pt; margin-top: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 9pt; }
th, td { text-align: left; padding: 3px 8px 3px 0; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 600; }
.wide { overflow-x: auto; }
.flag { border-left: 3px solid var(--line); padding: 1px 6px 1px 9px; font-size: 9pt; }
.flag.far { border-color: #c77700; background: var(--warnback); color: var(--warn);
  padding-block: 5px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 18px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 1px 12px; margin: 0;
  font-size: 8pt; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { border-top: 1px solid var(--line); margin-top: 10px; padding-top: 6px; }
@media (max-width: 36rem) { .two { grid-template-columns: 1fr; } header { display: block; }
  header p { text-align: left; } }
@media print { main { max-width: none; padding: 0; } .two { grid-template-columns: 1fr 1fr; }
  .flag.far { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

TEMPLATE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ patient }}: {{ positive }} score</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<header>
  <h1>Patient {{ patient }}</h1>
  <p>MyoFed, study {{ study }}<br>{{ written }}</p>
</header>
<p class="notice"><strong>Not a medical device.</strong> For research; a score must not decide about
a patient.</p>

<p class="answer {{ main.side }}">{{ main.answer }}</p>
<p class="evidence">{{ main.evidence }}{% if main.doubt %}
<strong>{{ main.doubt }}</strong>{% endif %}</p>

<figure>
<svg viewBox="0 0 720 84" role="img" aria-labelledby="scale-title">
  <title id="scale-title">Fused score {{ main.score }} on a scale of 0 to 1; threshold
    {{ main.threshold }}</title>
  <rect x="20" y="36" width="{{ scale.threshold - 20 }}" height="14" fill="#d5ebe4"/>
  <rect x="{{ scale.threshold }}" y="36" width="{{ 700 - scale.threshold }}" height="14"
    fill="#f6dccf"/>
  {% for tick in scale.ticks %}<g><line x1="{{ tick.x }}" x2="{{ tick.x }}" y1="50" y2="55"
    stroke="#51606e"/><text x="{{ tick.x }}" y="67" text-anchor="middle" font-size="11"
    fill="#51606e">{{ tick.name }}</text></g>
  {% endfor %}
  <line x1="{{ scale.threshold }}" x2="{{ scale.threshold }}" y1="30" y2="56" stroke="#16202a"
    stroke-width="1.5"/>
  <text x="{{ scale.threshold }}" y="81" text-anchor="{{ scale.threshold_anchor }}" font-size="11"
    fill="#16202a">threshold {{ main.threshold }}</text>
  <path d="M {{ scale.score }} 43 l -7 -14 h 14 z" fill="#16202a"/>
  <circle cx="{{ scale.score }}" cy="43" r="5.5" fill="#16202a" stroke="#fff" stroke-width="1.5"/>
  <text x="{{ scale.score }}" y="22" text-anchor="{{ scale.score_anchor }}" font-size="17"
    font-weight="700" fill="#16202a">{{ main.score }}</text>
</svg>
<figcaption>Score of the fused model, from 0 ({{ negative }}) to 1 ({{ positive }}). It is no
probability.</figcaption>
</figure>

<h2 id="models">Each model</h2>
<div class="wide" role="region" tabindex="0" aria-labelledby="models"><table>
<thead><tr><th scope="col">model</th><th scope="col">score</th><th scope="col">threshold</th>
<th scope="col">answer</th><th scope="col">sensitivity (95 % interval)</th>
<th scope="col">specificity (95 % interval)</th></tr></thead>
<tbody>
{% for one in models %}<tr><th scope="row">{{ one.name }}</th><td>{{ one.score }}</td>
<td>{{ one.threshold }}</td><td>{{ one.short }}</td><td>{{ one.sensitivity }}</td>
<td>{{ one.specificity }}</td></tr>
{% endfor %}</tbody>
</table></div>
<p class="notice">Sensitivity and specificity: at these thresholds, over all external sites'
patients.</p>

<div class="two">
<section><h2>Like the training patients?</h2>
<p class="flag{{ ' far' if unusual.far }}">{{ unusual.text }}</p></section>
<section><h2>Harmonisation</h2>
<p class="flag{{ ' far' if harmonised.none }}">{{ harmonised.text }}</p></section>
</div>

<h2>{{ slices.title }}</h2>
<figure><img alt="{{ slices.alt }}" src="data:image/png;base64,{{ slices.png }}">
<figcaption>{{ slices.caption }}</figcaption></figure>

<footer>
<dl>{% for name, fact in facts %}<dt>{{ name }}</dt><dd>{{ fact }}</dd>{% endfor %}</dl>
</footer>
</main>
</body>
</html>
"""
