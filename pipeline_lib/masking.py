"""Secrets in URLs: recognized, so that settings with them are refused, and masked in everything that is printed."""

import re
from typing import Any
from urllib.parse import unquote

_MASK = "..."

_USER = re.compile(
    r"(?i)([a-z][a-z0-9+.\-]*://)"
    r"(?:(?:(?<=http://)|(?<=https://))[^/?#\s]*@"  # a user without a password is a token there
    r"|[^/?#\s@:]*:[^/?#\s]*@"
    # A password with a slash, a space or a question mark; a port or an IPv6 address is no password.
    r"|(?!\[)[^/?#\s@:]*:(?!\d{1,5}(?:[/?#\s'\"]|\Z))[^\n]*@)"
)
_PARAMETER = re.compile(r"([?&;#]([^=&;#\s?'\"]+)=)([^&#\s'\"]*)")

# Names of query parameters, in lower case and without separators.
_SECRET_NAMES = frozenset({"auth", "code", "hmac", "jwt", "key", "pass", "pwd", "sas", "sig"})
_SECRET_WORDS = (
    "accessid",
    "accesskey",
    "apikey",
    "authorization",
    "credential",
    "passw",
    "privatekey",
    "secret",
    "session",
    "signature",
    "subscriptionkey",
    "token",
)


def masked(text: str) -> str:
    """Return a text without the passwords, tokens and signatures of the URLs in it.

    >>> masked("can't open 'simplecache::http://me:pw@host/a?X-Amz-Signature=1f&n=2'")
    "can't open 'simplecache::http://...@host/a?X-Amz-Signature=...&n=2'"
    """
    if "://" in text:
        text = _USER.sub(rf"\1{_MASK}@", text)
    return _PARAMETER.sub(_masked_parameter, text) if "=" in text else text


def has_secret(url: str) -> bool:
    """Tell whether a path or URL, or one of a chain of URLs, has a password, a token or a signature in it.

    A secret in a URL that is an escaped parameter of another URL counts too.
    """
    return "://" in url and any(masked(form) != form for form in (url, unquote(url)))


def shown(value: Any, most: int = 80) -> str:
    """Return a setting's value as a message shows it: without secrets, and cut short after they are masked."""
    return f"{_without_secrets(value)!r:.{most}}"


def _without_secrets(value: Any, depth: int = 4) -> Any:
    if isinstance(value, str):
        plain = masked(value)
        return masked(unquote(value)) if plain == value and has_secret(value) else plain
    if (
        isinstance(value, list | tuple | dict) and not depth
    ):  # settings are less deep, but a YAML alias may nest for ever
        return _MASK
    if isinstance(value, list | tuple):
        return [_without_secrets(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {name: _without_secrets(item, depth - 1) for name, item in value.items()}
    return value


def _masked_parameter(match: re.Match[str]) -> str:
    name = re.sub(r"[^a-z0-9]", "", unquote(match[2]).lower())
    is_secret = name in _SECRET_NAMES or any(word in name for word in _SECRET_WORDS)
    return f"{match[1]}{_MASK}" if is_secret and match[3] else match[0]
