"""The fast tier: frames of the busiest exchanges read by typed decoders before ccxt parses them.

How to add an exchange: see `guard_ccxt.fast.decoder`.
"""

from guard_ccxt.fast.decoder import Decoder, Desk
from guard_ccxt.fast.registry import DECODERS, decoder_of

__all__ = ["DECODERS", "Decoder", "Desk", "decoder_of"]
