"""Small factories for holds."""

from guard.model import Block, Hold, Level, Market, Target, TargetKind

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

X = Market.parse("sim:X/USDT")
Y = Market.parse("sim:Y/USDT")
ON_X = Target(TargetKind.MARKET, "sim:X/USDT")


def hold(
    *,
    rule: str = "pump_dump",
    market: Market | None = X,
    target: Target = ON_X,
    level: Level = Level.DANGER,
    for_us: int = 30 * MINUTE,
    max_us: int = 24 * HOUR,
    block: Block = Block.ENTRIES,
    factor: float = 2.0,
    forget_us: int = 7 * DAY,
    release_for_us: int | None = 10 * MINUTE,
    probation_us: int = 30 * MINUTE,
) -> Hold:
    return Hold(rule, market, target, level, "up 9 %", for_us, max_us, block, factor, forget_us, release_for_us, probation_us)
