"""A Hummingbot V2 strategy that asks guard: copy it to scripts/ and start it with your controllers."""

from hummingbot.strategy.strategy_v2_base import StrategyV2Base, StrategyV2ConfigBase

from guard.client import Guard
from guard.client.hummingbot import guarded


class GuardedConfig(StrategyV2ConfigBase):
    script_file_name: str = "strategy.py"
    guard_state: str = ".guard"


class Guarded(StrategyV2Base):
    """Runs its controllers, and creates no executor on a market that guard holds."""

    def __init__(self, connectors, config):
        super().__init__(connectors, config)
        self.desk = guarded(self, Guard(config.guard_state, bot="hummingbot"), exchanges={"gate_io": "gate"})

    def on_tick(self):
        self.desk.report()
        super().on_tick()
