"""Addresses of guard.yaml that ccxt would never call are refused, with those that it has."""

from __future__ import annotations

from typing import Any

import pytest

from guard.errors import ConfigurationError
from guard_ccxt.connections.instance import made
from guard_ccxt.options import read_options


def of(exchange: str, urls: dict[str, Any]) -> Any:
    return made(exchange, read_options(exchange, {"urls": urls}))


@pytest.mark.parametrize(
    ("exchange", "urls"),
    [("binance", {"api": {"ws": {"spot": "ws://a"}, "public": "http://a"}}), ("gate", {"api": {"public": {"spot": "http://a"}}})],
)
def test_an_address_that_ccxt_has_is_replaced(exchange: str, urls: dict[str, Any]) -> None:
    assert "http://a" in str(of(exchange, urls).urls)


@pytest.mark.parametrize(
    ("urls", "found", "allowed"),
    [
        ({"api": {"ws": {"spott": "ws://a"}}}, "api.ws.spott", "api.ws.spot"),
        ({"apis": {"public": "http://a"}}, "apis.public", "api.public"),
        ({"api": "http://a"}, "'api'", "api."),
        ({"api": {"public": {"spot": "http://a"}}}, "api.public.spot", "api.public"),
    ],
)
def test_an_address_that_ccxt_would_never_call_is_refused(urls: dict[str, Any], found: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=found) as caught:
        of("binance", urls)
    assert allowed in str(caught.value)
