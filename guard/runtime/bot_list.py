"""What a bot trades on one exchange, asked again and again, and kept for when the bot cannot be asked."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from guard.errors import GuardError
from guard.model import Level
from guard.runtime.freqtrade import PairPatterns, fetch_whitelist, read_config
from guard.runtime.trouble import News, Trouble
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from guard.dsl.bot_models import FreqtradeBot
    from guard.model import MarketFacts
    from guard.model.ports import Clock
    from guard.runtime.freqtrade import BotConfig

__all__ = ["BotList"]

_log = structlog.get_logger(__name__)
_SHOWN_MAX: Final = 5
_KEPT_MAX: Final = 10_000


class BotList:
    """The markets of a Freqtrade bot.

    Parameters
    ----------
    exchange
        The name of the exchange in guard.yaml, for messages.
    bot
        Where the list comes from.
    folder
        The folder that paths in guard.yaml start from.
    kept
        The file that remembers the last list, a cache; written only if it `keeps` it.
    announce
        Tells people: key, title, body, level.

    Attributes
    ----------
    problem
        Why the list may be out of date, None where it is not. People are told once it has lasted for two minutes.
    changed
        Set whenever the list became another one.

    Notes
    -----
    What the REST interface said last counts, also while it does not answer and after a restart; before it ever answered, the
    configuration file does. Entries of the file are regular expressions, those of the interface are symbols. A file that cannot be
    read leaves things as they were. Without the interface, a bot that chooses its pairs as it runs is taken to trade the busiest
    markets of its stake.
    """

    def __init__(
        self,
        exchange: str,
        bot: FreqtradeBot,
        *,
        folder: Path,
        kept: Path,
        clock: Clock,
        announce: Callable[[str, str, str, Level], None],
        keeps: bool = True,
    ) -> None:
        self.problem: str | None = None
        self.changed = asyncio.Event()
        self._exchange = exchange
        self._bot = bot
        self._config_path = None if bot.config is None else folder / bot.config
        self._kept = kept
        self._keeps = keeps
        self._clock = clock
        self._announce = announce
        self._trouble = Trouble()
        self._listed: frozenset[str] | None = None
        self._config: BotConfig | None = None
        self._patterns: PairPatterns | None = None
        self._stamps: tuple[tuple[str, int, int], ...] = ()
        self._asked = asyncio.Event()
        self._is_kept_read = False

    @property
    def is_known(self) -> bool:
        """Whether there is a list: of the interface, now or before, or of the file."""
        return self._listed is not None or self._patterns is not None

    @property
    def names(self) -> frozenset[str]:
        """The symbols that the bot names, whether they are on offer or not."""
        if self._listed is not None:
            return self._listed
        return frozenset() if self._patterns is None else self._patterns.names

    def traded(self, offered: Sequence[MarketFacts], *, most: int) -> Collection[str]:
        """Return the symbols that the bot trades; of a bot that chooses as it runs and cannot be asked, `most` of its stake."""
        symbols = [facts.market.symbol for facts in offered]
        if self._listed is not None:
            return self._listed
        if self._config is None or self._patterns is None:
            return ()
        if self._config.is_static:
            return self._patterns.among(symbols) | self._patterns.names
        stake = [facts for facts in offered if facts.market.quote == self._config.stake]
        stake.sort(key=lambda facts: -(facts.volume_24h_usd or 0.0))
        return [facts.market.symbol for facts in stake[:most]]

    async def ready(self) -> None:
        """Wait until the bot was asked once, with or without an answer."""
        await self._asked.wait()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._bot.every_us / 1e6)

    async def look(self) -> None:
        """Ask once."""
        if not self._is_kept_read:
            self._is_kept_read = True
            if self._bot.url is not None:
                self._listed = await asyncio.to_thread(self._recall)
        before = (self._listed, self._config)
        problems = [problem for problem in (await self._look_at_file(), await self._ask()) if problem]
        self._tell("; ".join(problems) or None)
        self._asked.set()
        if (self._listed, self._config) != before:
            self.changed.set()

    async def _look_at_file(self) -> str | None:
        if self._config_path is None:
            return None
        try:
            stamps = await asyncio.to_thread(_stamps, self._config.files if self._config else (self._config_path,))
            if self._config is None or stamps != self._stamps:
                config = await asyncio.to_thread(read_config, self._config_path)
                self._stamps = await asyncio.to_thread(_stamps, config.files)
                self._config, self._patterns = config, PairPatterns(config.whitelist, config.blacklist)
        except GuardError as error:
            return str(error)
        except OSError as error:
            return f"{error.filename} cannot be read: {error.strerror}"
        if self._bot.url is None and not self._config.is_static:
            _log.debug("the bot chooses its pairs as it runs", exchange=self._exchange, by=self._config.pairlist)
        odd = self._patterns.odd if self._patterns else []
        return f"no regular expressions of moderate size: {', '.join(odd[:_SHOWN_MAX])}" if odd and self._bot.url is None else None

    async def _ask(self) -> str | None:
        if self._bot.url is None:
            return None
        password, token = self._bot.password, self._bot.token
        try:
            pairs = await fetch_whitelist(
                self._bot.url,
                user=self._bot.user,
                password=None if password is None else password.get_secret_value(),
                token=None if token is None else token.get_secret_value(),
            )
        except GuardError as error:
            return str(error)
        listed = frozenset(pairs)
        if listed != self._listed:
            self._listed = listed
            if self._keeps:
                await asyncio.to_thread(self._remember, listed)
        return None

    def _tell(self, problem: str | None) -> None:
        if problem and problem != self.problem:
            _log.warning("the bot's list of markets", exchange=self._exchange, problem=problem)
        self.problem = problem
        news = self._trouble.look(self._clock.monotonic_us(), is_bad=problem is not None)
        if news is News.BEGUN:
            known = f"The last list is kept: {len(self.names)} markets." if self.names else "No list was ever had."
            body = f"{problem}\n{known} What the bot trades besides is not watched."
            self._announce(
                f"bot:{self._exchange}", f"the bot on {self._exchange} does not tell what it trades", body, Level.WARNING
            )
        elif news is News.OVER:
            body = f"It trades {len(self.names)} markets."
            self._announce(f"bot:{self._exchange}", f"the bot on {self._exchange} tells what it trades again", body, Level.NORMAL)

    def _recall(self) -> frozenset[str] | None:
        with suppress(OSError, ValueError, TypeError, RecursionError):
            pairs = json.loads(self._kept.read_text(encoding="utf-8"))
            if isinstance(pairs, list) and all(isinstance(pair, str) for pair in pairs):
                return frozenset(pairs[:_KEPT_MAX])
        return None

    def _remember(self, pairs: frozenset[str]) -> None:
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._kept, [json.dumps(sorted(pairs)).encode()])
        except OSError as error:
            _log.warning("the bot's list is not kept for a restart", exchange=self._exchange, problem=str(error))


def _stamps(files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(path), (found := path.stat()).st_mtime_ns, found.st_size) for path in files)
