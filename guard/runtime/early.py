"""What a start can tell bots before guard.yaml is read: what the last start made of the very same file.

Reading guard.yaml means importing what checks it, most of the time between a crash and the first answer.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guard import __version__
from guard.client.payload import Snapshot, decode, encode
from guard.model import Image, MarketView
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OWN", "Early", "keep_head", "settings_key"]

_NAME = "head"
OWN: Final = frozenset({"at_us", "markets", "blocks", "is_running", "rule_tags", "bypass"})
"""What of the published state does not come of guard.yaml; every other field of `Image` is one of `Snapshot`, too."""
# As `guard.dsl.environment` reads them: what stands for a dollar sign in a quoted text counts, too.
_REFERENCE = re.compile(rb"(?:\$|\\(?:x24|u0024|U00000024))\{(env|file):([^}\r\n]*)\}")
_REFERENCES_MAX = 1_000
_BYTES_MAX = 64 * 1024


def settings_key(path: Path, env: Mapping[str, str]) -> str:
    """Return what all that guard.yaml says depends on, as 64 hex digits.

    That is this version, the file, GUARD_* of the environment, and the variables and files that it refers to. Empty where one of
    the files cannot be read.
    """
    try:
        content = path.read_bytes()
        own = {name for name in env if name.startswith("GUARD_")}
        overlaid = "\n".join(env[name] for name in sorted(own)).encode("utf-8", "surrogateescape")
        named, files = _referred(path, content + b"\n" + overlaid)
    except (OSError, ValueError):
        return ""
    names = sorted(own | (named & env.keys()))
    settings = "\n".join([__version__, str(path.absolute()), *(f"{name}={env[name]}" for name in names)])
    return sha256(b"\0".join([settings.encode("utf-8", "surrogateescape"), content, *files])).hexdigest()


def _referred(path: Path, content: bytes) -> tuple[set[str], list[bytes]]:
    """Return the names of variables and a digest of each file that guard.yaml refers to. Raises OSError and ValueError."""
    found = sorted(set(_REFERENCE.findall(content)))
    if len(found) > _REFERENCES_MAX:
        raise ValueError
    files = [path.parent / name.decode() for kind, name in found if kind == b"file"]
    if not all(map(Path.is_file, files)):
        raise FileNotFoundError
    digests = []
    for file in files:
        with file.open("rb") as stream:
            digests.append(sha256(stream.read(_BYTES_MAX + 1)).digest())
    return {name.decode() for kind, name in found if kind == b"env"}, digests


class Early:
    """The part of the published state that comes of guard.yaml, as the last start with the same settings published it.

    Parameters
    ----------
    image
        It, without markets and blocks.
    """

    def __init__(self, image: Image) -> None:
        self.image = image

    @classmethod
    def read(cls, caches: Path, key: str) -> Early | None:
        """Return what an earlier start kept under `key`; None where it kept nothing that can be used."""
        try:
            kept, _, payload = (caches / _NAME).read_bytes().partition(b"\n")
            if not key or kept != key.encode():
                return None
            told = decode(payload)
            return cls(_image(told))
        except (OSError, ValueError, TypeError, AttributeError):
            # A cache: whatever is wrong with it, guard.yaml tells the same.
            return None


def keep_head(caches: Path, key: str, image: Image) -> str | None:
    """Keep the settings of `image` for the next start under `key`, where that is possible and not done yet.

    Returns why the next start cannot use them and has to wait for guard.yaml, None where it can.
    """
    if not key:
        return "guard.yaml could not be read twice"
    head = image._replace(markets={}, blocks=())
    payload = encode(head, epoch=0, seq=0, durable=True, wall_us=0, boot_ns=0, boot_id="")
    content = key.encode() + b"\n" + payload
    file = caches / _NAME
    if (problem := _differs(head, payload)) is not None:
        file.unlink(missing_ok=True)
        return problem
    try:
        if not file.is_file() or file.read_bytes() != content:
            replace_file(file, [content])
    except OSError as error:
        file.unlink(missing_ok=True)
        return f"{file} cannot be written: {error.strerror}"
    return None


def _differs(head: Image, payload: bytes) -> str | None:
    """Return what of the settings would not come back as it is, None where all does."""
    try:
        kept = _image(decode(payload))
    except (ValueError, TypeError, AttributeError) as error:
        return f"what is kept of guard.yaml cannot be read again: {error}"
    lost = [name for name in Image._fields if name not in OWN and getattr(kept, name) != getattr(head, name)]
    return f"what is kept of guard.yaml would lose {', '.join(lost)}" if lost else None


def _image(told: Snapshot) -> Image:
    taken: dict[str, Any] = {name: getattr(told, name) for name in Image._fields if name not in OWN}
    taken["unreached"] = {name: MarketView(*view) for name, view in told.unreached.items()}
    return Image(at_us=0, markets={}, blocks=(), **taken)
