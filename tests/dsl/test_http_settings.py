"""What guard.yaml may say of the HTTP interface: nothing that others could reach by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.dsl import load_guard
from guard.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

TLS = "tls: {cert: c.pem, key: k.pem}"


def written(folder: Path, http: str) -> Path:
    path = folder / "guard.yaml"
    path.write_text(f"exchanges: {{x: {{}}}}\nhttp: {{{http}}}\n")
    return path


@pytest.mark.parametrize(
    "http",
    [
        'listen: "127.0.0.1:8787"',
        'listen: "[::1]:8787"',
        'listen: "localhost:0"',
        "unix: .guard/http.sock, group: bots",
        f'listen: "10.0.0.5:8787", expose: true, {TLS}',
        f'listen: "0.0.0.0:8787", expose: true, {TLS}, hosts: [guard.example.org]',
    ],
)
def test_what_is_meant_is_accepted(tmp_path: Path, http: str) -> None:
    assert load_guard(written(tmp_path, http), {}).http.is_on


@pytest.mark.parametrize(
    ("http", "told"),
    [
        ('listen: "0.0.0.0:8787"', "expose: true"),
        ('listen: "10.0.0.5:8787"', "expose: true"),
        ('listen: "guard.example.org:8787"', "expose: true"),
        ('listen: "[::]:8787", expose: true', "tls"),
        (f'listen: "0.0.0.0:8787", expose: true, {TLS}', "hosts"),
        ('listen: "127.0.0.1:99999"', "65535"),
        ("listen: 8787", "listen"),
        ('listen: "127.0.0.1:8787", group: bots', "unix"),
        ('listen: "127.0.0.1:8787", token: secret', "token"),
        ("streams: 0", "streams"),
    ],
)
def test_what_others_could_reach_by_mistake_is_refused_with_what_is_missing(tmp_path: Path, http: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_guard(written(tmp_path, http), {})
    assert told in str(refused.value)
    assert refused.value.problems[0].line == 2


def test_nothing_listens_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text("exchanges: {x: {}}\n")
    assert not load_guard(path, {}).http.is_on
