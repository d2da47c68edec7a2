"""How the page for the data protection officer looks: light or dark as the reader has it, and on
paper.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b6068; --line: #d5d8dd; --back: #fff;
  --good: #14632f; --bad: #a51219; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7e9; --soft: #a2a7af; --line: #3c4148; --back: #17191c; --good: #74d497;
    --bad: #ff8b86; }
}
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; }
dt, footer { color: var(--soft); }
dd { margin: 0; }
dd, code { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; min-width: 4rem; }
td:nth-child(2) { min-width: 14rem; overflow-wrap: anywhere; }
.good, .bad { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
footer { margin-top: 3rem; font-size: .85rem; }
@media print {
  :root { --ink: #000; --soft: #444; --line: #999; --back: #fff; --good: #000; --bad: #000; }
  main { max-width: none; padding: 0; } .wide { overflow: visible; }
  tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
""".lstrip()
