"""Read guard's snapshot without guard, as docs/file-format.md describes it: read_snapshot.py FILE EXCHANGE:SYMBOL."""

import json
import struct
import sys
import time
from zlib import crc32


def read(path):
    """Return heartbeat, lease and state of the header, and the newest whole payload."""
    with open(path, "rb") as file:
        for _ in range(16):
            file.seek(0)
            words = struct.unpack("<512Q", file.read(4096))
            if struct.pack("<Q", words[0]) != b"GRDSNAP\0" or words[1] != 2:
                raise SystemExit("not a snapshot of layout 2")
            generation, slot_bytes = words[2], words[10]
            if generation == 0:
                raise SystemExit("nothing was published yet")
            of, length, crc = words[11 + 3 * (generation & 1) :][:3]
            file.seek(4096 + slot_bytes * (generation & 1))
            payload = file.read(length)
            top = payload[: struct.unpack_from("<I", payload, 4)[0]]
            if of == generation and len(payload) == length and crc32(top, generation & 0xFFFFFFFF) == crc:
                return words[3], words[5], words[4], payload
    raise SystemExit("the snapshot is damaged: treat every market as unknown")


def market_and_blocks(payload, market):
    """Return what is known of a market, None where it is not watched, and the blocks that reach it."""
    _, _, rest, buckets, flags, epoch, seq, _, _, _ = struct.unpack_from("<4sIIIIqqqqq", payload)
    said = json.loads(payload[60 : 60 + rest])
    view = None
    if buckets:
        at, length, crc = struct.unpack_from("<III", payload, 60 + rest + 12 * (crc32(market.encode()) % buckets))
        rows = payload[at : at + length]
        if crc32(rows) != crc:
            raise SystemExit("the snapshot changed while it was read: read again")
        view = json.loads(rows).get(market)
    exchange, _, symbol = market.partition(":")
    names = {"market": market, "symbol": symbol, "base": symbol.partition("/")[0], "exchange": exchange}
    blocks = [block for block in said["blocks"] if names.get(block["kind"]) == block["name"]]
    return {"epoch": epoch, "seq": seq, "durable": bool(flags & 1), "running": bool(flags & 2), "mode": said["mode"],
            "market": view, "blocks": blocks}  # fmt: skip


heartbeat, lease, state, payload = read(sys.argv[1])
found = market_and_blocks(payload, sys.argv[2])
age = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - heartbeat
found["fresh"] = state == 1 and found["running"] and 0 <= age <= lease
print(json.dumps(found))
