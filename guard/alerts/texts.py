"""The default messages: the first line is the title. Every value is made safe by the environment that renders them."""

from __future__ import annotations

__all__ = ["TEXTS"]

_WHY = """\
Level {{ about.level }}{% if about.score %}, score {{ about.score }}{% endif %}, rule {{ about.rule }}
{% for factor in about.factors %}
{{ "Mainly" if loop.first else "Then" }} {{ factor.name }} = {{ factor.value }} (adds {{ factor.share }})
{% endfor %}
{% for finding in about.findings %}
Evidence from {{ finding.detector }} ({{ finding.score }}):
{%- for item in finding.evidence %} {{ item.name }} = {{ item.value }}{% if not loop.last %};{% endif %}{% endfor %}

{% endfor %}
"""
_LOOK = """\
{% if about.is_plain %}
guard why {{ about.market }}
{% elif about.tipped is defined and about.tipped %}
guard why {{ about.tipped }}
{% elif about.is_over is defined and about.is_over %}
guard quarantine history
{% elif about.id %}
guard quarantine show {{ about.id }}
{% else %}
guard status
{% endif %}
"""
_QUARANTINE = """\
[{{ about.level | upper }}] {{ about.market }} quarantined by {{ about.rule }}
{{ about.kind | default("Market") }} {{ about.market }}
{% include "why" %}
{% if about.ordered_by is defined and about.ordered_by %}
Ordered by {{ about.ordered_by }}
{% endif %}
{% if about.reason %}
Reason: {{ about.reason }}
{% endif %}
{{ about.blocked }}
Until {{ about.until }}{% if about.is_floor %} at the earliest, longer while it is not calm{% endif %}

{% if about.zone is defined and about.zone %}
Part of the incident {{ about.zone }}
{% endif %}
{% include "look" %}
guard quarantine release {{ about.id }} --reason "..."
"""

_ZONE = """\
{% set markets = abouts | map(attribute="market") | unique(case_sensitive=true) | list %}
[{{ level | upper }}] {{ markets[0] }}{% if markets | length > 1 %} and {{ markets | length - 1 }} more{% endif %} quarantined
{%- if is_more %} too, in the same incident{% else %} in one incident{% endif %}

Zone {{ zone }}, worst level {{ level }}
{% for each in abouts[:shown] %}
{{ each.market }}: {{ each.rule }}, {{ each.level }}{% if each.score %} {{ each.score }}{% endif %}, until {{ each.until }}
{% endfor %}
{% if abouts | length > shown %}
and {{ abouts | length - shown }} more: guard quarantine ls
{% endif %}
{% with about = worst %}
The worst of them, {{ about.market }}:
{% include "why" %}
{{ about.blocked }}
{% include "look" %}
guard quarantine release {{ about.id }} --reason "..."
{% endwith %}
"""

_RELEASE = """\
[{% if about.is_over %}RELEASED{% else %}PROBATION{% endif %}] {{ about.market }}: {{ about.summary }}
{{ about.kind | default("Market") }} {{ about.market }}, rule {{ about.rule }}, level was {{ about.level }}
Because {{ about.cause }}{% if about.ordered_by is defined and about.ordered_by %}: {{ about.ordered_by }}{% endif %}

{% if about.reason %}
Reason: {{ about.reason }}
{% endif %}
{{ about.blocked }}
{% if not about.is_over %}
Until {{ about.until }}
{% endif %}
{% include "look" %}
"""

_VERDICT = """\
{% if about.group is defined %}
[{{ about.level | upper }}] {{ about.market }}: {{ about.rule }} on {{ about.group.held }} of {{ about.group.of }} markets
Group {{ about.market }}, quorum {{ about.group.needed }}
Markets {{ about.group.markets }}
The last of them:
{% else %}
[{{ about.level | upper }}] {{ about.market }}: {{ about.rule }}{% if about.score %}, score {{ about.score }}{% endif %}

Market {{ about.market }}
{% endif %}
{% include "why" %}
{{ about.blocked }}
{% include "look" %}
"""

_SUMMARY = """\
[{{ level | upper }}] {{ held }} more held back: today's limit of {{ daily_max }} messages is reached
Held back: {{ about }}
What else comes until 00:00 UTC is in the digest then. guard blocks as before; only its messages wait.
guard quarantine ls
guard alerts outbox
"""

_DIGEST = """\
guard digest for {{ day }}: {{ total }} not told at once
{% for line in lines %}
{{ line }}
{% endfor %}
{% if held %}
Held back by the limit of {{ daily_max }} messages a day: {{ held }}
{% endif %}
{% for market in markets %}
{{ market.name }}: {{ market.count }}
{% endfor %}
{% if others %}
on other markets: {{ others }}
{% endif %}
guard status
"""

_SYSTEM = """\
[{{ level | upper }}] guard: {{ title }}
{% for line in lines %}
{{ line }}
{% endfor %}
"""

_TEST = """\
guard test message for channel {{ channel }}
This is what an alert looks like. Nothing is wrong and nothing is blocked.
guard status
"""

TEXTS = {
    "why": _WHY,
    "look": _LOOK,
    "quarantine": _QUARANTINE,
    "zone": _ZONE,
    "release": _RELEASE,
    "verdict": _VERDICT,
    "summary": _SUMMARY,
    "digest": _DIGEST,
    "system": _SYSTEM,
    "test": _TEST,
}
