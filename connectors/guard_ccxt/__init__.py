"""Live streams through ccxt; the only code that knows ccxt.

`connections` opens, reads, judges and renews sockets; `fast` reads the frames of the busiest exchanges in place of
ccxt; `stream` makes rows of what arrives on one market's channel, and GAP rows of what is missing; `alive` tells quiet
from dead; `rest` asks within a share of the exchange's budget, for the past too; `markets` knows what is on offer.
`session` joins them, `connector` is what guard sees.
"""

from guard_ccxt.connector import CcxtConnector

__all__ = ["CcxtConnector"]
