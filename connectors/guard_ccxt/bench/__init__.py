"""What the live path costs and whether it loses anything, beside stock ccxt; ``guard bench --live`` runs it.

``python -m guard_ccxt.bench server`` is an exchange on loopback that speaks Binance's spot protocol and sends what it is told to;
``python -m guard_ccxt.bench client TIER ...`` reads it as ``stock`` ccxt, or as the connector in its ``generic`` or ``fast`` tier.
Both tell how they fare in JSON lines.
"""
