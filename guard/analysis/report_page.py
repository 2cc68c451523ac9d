"""A report as a page that stands by itself: no script, nothing fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jinja2 import DictLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from guard.analysis.report_text import after_of, by_rule_text, long, percent, worth_text
from guard.model.moments import utc

if TYPE_CHECKING:
    from guard.analysis.report import Report

__all__ = ["page_of"]

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>guard report</title>
<style>
:root { color-scheme: light dark; --line: #8884; --loss: #c2410c; --gain: #15803d; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.soft { opacity: .7; margin: .25rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.25rem 0; }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; min-width: 8rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, .text { text-align: left; }
.down { color: var(--gain); } .up { color: var(--loss); }
</style></head><body>
<h1>guard report</h1>
<p class="soft">{{ utc(report.since_us) }} to {{ utc(report.until_us) }}, {{ long((report.until_us - report.since_us) / 1e6) }}</p>
<div class="tiles">
<div class="tile"><b>{{ report.rules | sum(attribute="blocks") }}</b>blocks</div>
<div class="tile"><b>{{ report.rules | sum(attribute="would_be") }}</b>would-be blocks</div>
<div class="tile"><b>{{ report.bots | sum(attribute="refused") }}</b>orders refused</div>
<div class="tile"><b>{{ report.noisiest or "-" }}</b>noisiest rule</div>
</div>
<h2>Rules</h2>
{% if report.rules %}<div class="scroll"><table>
<tr><th>rule</th><th>blocks</th><th>would-be</th><th>targets</th><th>blocked</th><th>shrunk</th><th>level rises</th></tr>
{% for line in report.rules %}<tr><td>{{ line.rule }}</td><td>{{ line.blocks }}</td><td>{{ line.would_be }}</td>
<td>{{ line.targets }}</td><td>{{ long(line.blocked_s) }}</td><td>{{ long(line.probation_s) }}</td><td>{{ line.verdicts }}</td></tr>
{% endfor %}</table></div>
<h2>What an entry at each block would have brought</h2>
<p class="soft">One long entry of the same size at each block or would-be block, less {{ percent(report.fee, signed=False) }} for
buying and as much for selling: the mean, and of how many blocks it is known. Losses avoided and gains missed are sums after an
hour, in percent of one stake.</p>
<div class="scroll"><table>
<tr><th>rule</th><th>after 15m</th><th>after 1h</th><th>after 24h</th><th>loss avoided</th><th>gain missed</th></tr>
{% for line in report.rules %}<tr><td>{{ line.rule }}</td>
{% for worth in line.worth %}<td{% if worth.mean is not none %} class="{{ "down" if worth.mean < 0 else "up" }}"{% endif %}>
{{ worth_text(worth) }}</td>{% endfor %}
<td>{{ percent(line.worth[1].avoided, signed=False) if line.worth[1].known else "-" }}</td>
<td>{{ percent(line.worth[1].missed, signed=False) if line.worth[1].known else "-" }}</td></tr>
{% endfor %}</table></div>{% else %}<p>No rule said anything.</p>{% endif %}
{% if report.latest %}<h2>Newest blocks</h2>
<div class="scroll"><table><tr><th>when</th><th class="text">target</th><th class="text">rule</th><th class="text">entries</th>
<th>15m</th><th>1h</th><th>24h</th></tr>
{% for one in report.latest %}<tr><td>{{ utc(one.opened_us) }}</td><td class="text">{{ one.target }}</td>
<td class="text">{{ one.rule }}</td><td class="text">{{ "blocked" if one.bound else "would be" }}</td>
{% for place in range(3) %}<td>{{ percent(after_of(one, place)) }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endif %}
<h2>Bots</h2>
{% if report.bots %}<div class="scroll"><table>
<tr><th>bot</th><th>asked</th><th>refused</th><th>would be refused</th><th>past guard</th><th>by rule</th></tr>
{% for bot in report.bots %}<tr><td>{{ bot.bot }}</td><td>{{ bot.seen }}</td><td>{{ bot.refused }}</td>
<td>{{ bot.would_refuse }}</td><td>{{ bot.bypassed }}</td><td class="text">{{ by_rule(bot) }}</td></tr>
{% endfor %}</table></div>{% else %}<p>None reported what it asked.</p>{% endif %}
<h2>Data</h2>
{% if report.feeds %}<div class="scroll"><table>
<tr><th>exchange</th><th>hours of markets</th><th>with data</th><th>judged in full</th></tr>
{% for feed in report.feeds %}<tr><td>{{ feed.exchange }}</td><td>{{ "%.1f" | format(feed.market_hours) }}</td>
<td>{{ "%.2f" | format(100 * feed.seen) }} %</td><td>{{ "%.2f" | format(100 * feed.ready) }} %</td></tr>
{% endfor %}</table></div>{% else %}<p>Nothing was watched.</p>{% endif %}
</body></html>
"""


def page_of(report: Report) -> str:
    """Return the page; every name in it is escaped."""
    room = ImmutableSandboxedEnvironment(loader=DictLoader({"page": _PAGE}), undefined=StrictUndefined, autoescape=True)
    return room.get_template("page").render(
        report=report, utc=utc, long=long, percent=percent, worth_text=worth_text, after_of=after_of, by_rule=by_rule_text
    )
