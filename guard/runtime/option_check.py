"""What the connectors themselves say of guard.yaml, before anything is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.dsl.loading import place_of
from guard.errors import ConfigurationError
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.settings import connector_factory
from guard.runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.dsl import GuardConfig
    from guard.errors import Problem

__all__ = ["option_problems"]


def option_problems(config: GuardConfig) -> Iterator[Problem]:
    """Yield what ends `guard run`, or keeps an exchange from opening: a connector that is not there, options that it refuses.

    A connector may have ``check_options()`` for what it does not look at when it is made: that of ccxt loads ccxt for it, a second.
    """
    state, clock, random = StateFolder(), SystemClock(), seeded_random()
    for name, exchange in config.exchanges.items():
        try:
            connector = connector_factory(name, exchange, state=state, clock=clock, random=random, report=lambda _: None)()
            check = getattr(connector, "check_options", None)
            if check is not None:
                check()
        except ConfigurationError as error:
            place = place_of(config, "exchanges", name)
            for problem in error.problems:
                yield problem._replace(
                    file=place.source.file, line=place.line, column=place.column, source=place.text.replace("\t", " ")
                )
