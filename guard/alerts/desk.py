"""The desk where messages leave: each channel's limit, its summary and its daily digest, and the account of every event."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.alerts.daybook import DAY_US, DayBook
from guard.alerts.tally import Tally
from guard.model import Delivery, Level, Mode
from guard.model.moments import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from guard.alerts.policy import AlertPolicy, ChannelPolicy
    from guard.alerts.templates import Message, Messages
    from guard.model import Verdict

__all__ = ["Desk", "Subject", "delivery_id", "episode_id"]

_ID_DIGITS = 16


class Subject(NamedTuple):
    """What a message is about. `detail` tells two messages of one `alert_id` and `kind` apart (a level, a time)."""

    alert_id: str
    kind: str
    detail: str
    level: Level
    market: str = ""
    rule: str = ""


def delivery_id(alert_id: str, kind: str, channel: str) -> str:
    """Return the id of a delivery, 16 hex digits: the same event never makes two, in a replay neither."""
    return sha256(f"{alert_id}|{kind}|{channel}".encode(errors="surrogatepass")).hexdigest()[:_ID_DIGITS]


def episode_id(verdict: Verdict) -> str:
    """Return what joins the messages and actions of one episode, 12 hex digits."""
    return sha256(f"{verdict.rule}|{verdict.subject}|{verdict.episode_us}".encode(errors="surrogatepass")).hexdigest()[:12]


def delivery(channel: ChannelPolicy, subject: Subject, message: Message, at_us: int) -> Delivery:
    """Return `message` addressed to `channel`; it may be sent from `at_us` on and dies with the channel's time to live."""
    ttl_us = channel.critical_ttl_us if subject.level is Level.CRITICAL else channel.ttl_us
    return Delivery(
        id=delivery_id(subject.alert_id, f"{subject.kind}:{subject.detail}", channel.name),
        alert_id=subject.alert_id,
        channel=channel.name,
        kind=subject.kind,
        level=subject.level,
        title=message.title,
        body=message.body,
        created_us=at_us,
        due_us=at_us,
        expires_us=at_us + ttl_us,
        market=subject.market,
        rule=subject.rule,
    )


class Desk:
    """Addresses messages to channels within their daily limits.

    What a channel does not get at once is kept for its digest. The first events beyond `daily_max` make one summary, later ones
    of the day none.
    """

    def __init__(self, policy: AlertPolicy, messages: Messages) -> None:
        self.policy = policy
        self.messages = messages
        self.books = {channel.name: DayBook(channel) for channel in policy.channels}
        self.tally = Tally(self.books)
        self._held: dict[str, tuple[int, Level, list[str]]] = {}

    @property
    def digest_due_us(self) -> int | None:
        """When the next digest is due, None where none has anything to tell."""
        return min(((book.day + 1) * DAY_US for book in self.books.values() if book.has_digest), default=None)

    def turn(self, at_us: int) -> None:
        """Begin the day of `at_us`."""
        for book in self.books.values():
            book.turn(at_us)

    def push(
        self, names: Collection[str], subject: Subject, render: Callable[[], Message], at_us: int, *, count: int = 1
    ) -> list[Delivery]:
        """Return a delivery for each of `names` that may have one; the other channels keep the `count` events for the digest."""
        sent: list[Delivery] = []
        message: Message | None = None
        for name, book in self.books.items():
            is_open = self.policy.mode is not Mode.OBSERVE or subject.kind == "system"
            if not book.policy.hears(subject.rule):
                self.tally.count(name, "suppressed:other_rule", count)
            elif name not in names or not is_open:
                self.keep(name, subject, count)
            elif not _take(book, subject.kind):
                book.held += count
                self.keep(name, subject, count)
                held, level, markets = self._held.get(name, (0, Level.NORMAL, []))
                self._held[name] = (held + count, max(level, subject.level), [*markets, subject.market or subject.kind][:5])
            else:
                message = message or render()
                self.tally.count(name, "sent", count)
                sent.append(delivery(book.policy, subject, message, at_us))
        return sent

    def keep(self, name: str, subject: Subject, count: int = 1) -> None:
        """Put events of one channel into its digest."""
        self.books[name].keep(f"{subject.kind}, {subject.level}", subject.market, count)
        self.tally.count(name, "digested", count)

    def summaries(self, at_us: int) -> list[Delivery]:
        """Return the one summary of each channel that has just passed its limit for the first time today."""
        sent: list[Delivery] = []
        for name, (held, level, markets) in self._held.items():
            book = self.books[name]
            if book.is_summarised:
                continue
            book.is_summarised = True
            about = ", ".join(markets) + (" and others" if held > len(markets) else "")
            message = self.messages.render("summary", level=str(level), held=held, about=about, daily_max=book.policy.daily_max)
            sent.append(delivery(book.policy, Subject(f"held:{book.day}", "summary", "", level), message, at_us))
        self._held.clear()
        return sent

    def digests(self, due_us: int) -> list[Delivery]:
        """Return the digests of the day that ends at `due_us`, and begin the next day."""
        sent = [
            delivery(
                book.policy,
                Subject(f"digest:{book.day}", "summary", "", Level.WARNING),
                self.messages.render("digest", day=utc(due_us - DAY_US).partition(" ")[0], **book.digest()),
                due_us,
            )
            for book in self.books.values()
            if book.has_digest and (book.day + 1) * DAY_US <= due_us
        ]
        self.turn(due_us)
        return sent

    def reports(self, names: Collection[str], facts: Mapping[str, Any], *, due_us: int, at_us: int, ttl_us: int) -> list[Delivery]:
        """Return the digest of a report for each of `names`: no alert, so neither levels nor limits hold it back."""
        subject = Subject(f"report:{facts['hours']}h:{due_us}", "summary", "", Level.NORMAL)
        message = self.messages.render("report", **facts)
        made = [delivery(book.policy, subject, message, at_us) for name, book in self.books.items() if name in names]
        return [each._replace(expires_us=at_us + ttl_us) for each in made]

    def restore(self, told: Delivery) -> None:
        """Count a delivery of the last day against its channel's limit; call in order of creation."""
        book = self.books[told.channel]
        book.turn(told.created_us)
        if told.kind == "summary":
            book.is_summarised |= told.alert_id.startswith("held:")
        elif told.kind != "test":
            _take(book, told.kind)

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {"books": {name: book.save() for name, book in self.books.items()}, "counts": self.tally.counts()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state that `save` returned."""
        for name, book in self.books.items():
            if name in state["books"]:
                book.load(state["books"][name])
        self.tally.load(state["counts"])


def _take(book: DayBook, kind: str) -> bool:
    """Take one place of the day's limit; guard's own troubles have a limit of their own, so that no storm hides them."""
    used = book.system if kind == "system" else book.pushed
    if used >= book.policy.daily_max:
        return False
    if kind == "system":
        book.system += 1
    else:
        book.pushed += 1
    return True
