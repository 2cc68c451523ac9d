"""Tokens of the HTTP interface: random, shown once, kept as hashes in a file of the owner."""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
from contextlib import contextmanager
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.errors import OperationRefused, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["SECRET_BYTES", "Scope", "Token", "TokenFile", "TokenWatch", "text_of_secret"]

SECRET_BYTES: Final = 32
TOKENS_MAX: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PREFIX: Final = "guard_"
_FILE_BYTES_MAX: Final = 256 * 1024
_LOOK_US: Final = 250_000


class Scope(IntEnum):
    """What a token may do; each includes the ones before it.

    READ: ask and follow. OPERATE: hold markets, and see all of the status. ADMIN: release, permit, reload.
    """

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @classmethod
    def of(cls, text: str) -> Scope:
        """Return the scope of a name. Raises ValueError."""
        try:
            return cls[text.upper()]
        except KeyError as error:
            raise ValueError(f"a scope is read, operate or admin, found {text!r}") from error

    def __str__(self) -> str:
        return self.name.lower()


class Token(NamedTuple):
    """One token as it is kept: `digest` is the SHA-256 of its text, `old_digest` the one before its last rotation.

    The old one is good until `old_until_us` (wall time).
    """

    name: str
    scope: Scope
    digest: bytes
    created_us: int
    old_digest: bytes = b""
    old_until_us: int = 0


def text_of_secret(secret: bytes) -> str:
    """Return a token's text from its 32 random bytes.

    Examples
    --------
    >>> text_of_secret(bytes(32))
    'guard_0000000000000000000000000000000000000000000000000000000000000000'
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a token has {SECRET_BYTES} bytes of chance, found {len(secret)}")
    return _PREFIX + secret.hex()


def digest_of(text: str) -> bytes:
    """Return the hash under which a token's text is kept."""
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


class TokenFile:
    """The file of tokens, changed by commands while guard runs.

    Parameters
    ----------
    path
        ``tokens.json`` in the state folder; mode 0600, made by the first `add`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens. Raises StateError for a file that others can read or write, or that is damaged."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StateError(f"the tokens {self.path} cannot be read: {error.strerror}") from error
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            if status.st_mode & 0o077 or status.st_uid not in {os.geteuid(), 0}:
                raise StateError(f"others can read or write {self.path}, so no token in it counts; chmod 600, and rotate them")
            raw = opened.read(_FILE_BYTES_MAX + 1)
        if len(raw) > _FILE_BYTES_MAX:
            raise StateError(f"{self.path} has more than {_FILE_BYTES_MAX} bytes; it is not a file of tokens")
        try:
            return tuple(_token(each) for each in json.loads(raw)["tokens"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(f"the tokens {self.path} are damaged ({type(error).__name__}); move the file away") from error

    def add(self, name: str, scope: Scope, secret: bytes, now_us: int) -> str:
        """Add a token and return its text, which is kept nowhere. Raises OperationRefused where the name is taken."""
        if not _NAME.fullmatch(name):
            raise OperationRefused(f"a token's name has letters, digits, '_', '.' and '-', at most 64, found {name[:80]!r}")
        text = text_of_secret(secret)
        with self._change() as tokens:
            if name in tokens:
                raise OperationRefused(f"there is a token {name!r}; rotate it, or remove it first")
            if len(tokens) >= TOKENS_MAX:
                raise OperationRefused(f"there are {len(tokens)} tokens, no more are allowed; remove some")
            tokens[name] = Token(name, scope, digest_of(text), now_us)
        return text

    def rotate(self, name: str, secret: bytes, now_us: int, *, keep_us: int = 0) -> str:
        """Give a token another text and return it; the old one is good for `keep_us` more. Raises OperationRefused."""
        text = text_of_secret(secret)
        with self._change() as tokens:
            old = _known(tokens, name)
            kept = (old.digest, now_us + keep_us) if keep_us > 0 else (b"", 0)
            tokens[name] = Token(name, old.scope, digest_of(text), now_us, *kept)
        return text

    def remove(self, name: str) -> None:
        """Remove a token. Raises OperationRefused where there is none."""
        with self._change() as tokens:
            _known(tokens, name)
            del tokens[name]

    @contextmanager
    def _change(self) -> Iterator[dict[str, Token]]:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Two commands at once: the second waits for what the first wrote.
            fcntl.flock(folder, fcntl.LOCK_EX)
            tokens = {token.name: token for token in self.tokens()}
            yield tokens
            self._write(tuple(tokens.values()))
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        document = {"version": 1, "tokens": [_record(token) for token in tokens]}
        fresh = self.path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(file, "wb") as out:
                out.write(json.dumps(document, indent=1).encode() + b"\n")
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise StateError(f"the tokens {self.path} cannot be written: {error.strerror}") from error


class TokenWatch:
    """The tokens as a running guard knows them: read again when their file has changed, looked for every 250 ms at most.

    A token that is not known makes it look at once: one that was just added counts from its first use on.

    Parameters
    ----------
    file
        The file; where it cannot be used no token counts, and `problem` says why.
    monotonic_us, wall_us
        When to look, and whether an old token is still good.
    """

    def __init__(self, file: TokenFile, *, monotonic_us: Callable[[], int], wall_us: Callable[[], int]) -> None:
        self._file = file
        self._monotonic_us = monotonic_us
        self._wall_us = wall_us
        self._look_us = 0
        self._seen: tuple[int, ...] | None = None
        self._tokens: tuple[Token, ...] = ()
        self.problem: str | None = None

    def current(self) -> tuple[Token, ...]:
        """Return the tokens that count now."""
        now_us = self._monotonic_us()
        if now_us >= self._look_us:
            self._look_us = now_us + _LOOK_US
            self._look()
        return self._tokens

    def find(self, text: str) -> Token | None:
        """Return the token with this text, None where there is none; takes as long for a wrong one as for a right one."""
        given = digest_of(text)
        found = self._found(given, self.current())
        return self._found(given, self._tokens) if found is None and self._look() else found

    def _found(self, given: bytes, tokens: tuple[Token, ...]) -> Token | None:
        found = None
        for token in tokens:
            if hmac.compare_digest(token.digest, given):
                found = token
            if hmac.compare_digest(token.old_digest or bytes(SECRET_BYTES), given) and self._wall_us() < token.old_until_us:
                found = token
        return found

    def _look(self) -> bool:
        """Read the file again where it changed, and return whether it did."""
        try:
            status = self._file.path.stat()
            seen: tuple[int, ...] = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode, status.st_uid)
        except OSError:
            seen = ()
        if seen == self._seen:
            return False
        try:
            self._tokens, self.problem = self._file.tokens(), None
        except StateError as error:
            self._tokens, self.problem = (), str(error)
        self._seen = seen
        return True


def _known(tokens: dict[str, Token], name: str) -> Token:
    token = tokens.get(name)
    if token is None:
        raise OperationRefused(f"there is no token {name[:80]!r}; there are {', '.join(tokens) or 'none'}")
    return token


def _token(record: Any) -> Token:  # noqa: ANN401 - JSON
    token = Token(
        name=record["name"],
        scope=Scope.of(record["scope"]),
        digest=bytes.fromhex(record["sha256"]),
        created_us=int(record["created_us"]),
        old_digest=bytes.fromhex(record.get("old_sha256", "")),
        old_until_us=int(record.get("old_until_us", 0)),
    )
    if not isinstance(token.name, str) or len(token.digest) != SECRET_BYTES or len(token.old_digest) not in {0, SECRET_BYTES}:
        raise ValueError("not a token")
    return token


def _record(token: Token) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": token.name,
        "scope": str(token.scope),
        "sha256": token.digest.hex(),
        "created_us": token.created_us,
    }
    if token.old_digest:
        record |= {"old_sha256": token.old_digest.hex(), "old_until_us": token.old_until_us}
    return record
