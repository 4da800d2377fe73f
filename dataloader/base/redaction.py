"""Text without what nobody may read. Cheap to import: a sync with nothing to do writes its status through it."""

from __future__ import annotations

import re

# Text, compiled when something is to be said: most runs end before.
_USER_INFO = r"(\w(?<!ssh)://|ssh://(?=[^/\s'\"@]*:))[^/\s'\"]+@"
"""The user of an address of ssh says which service is meant, and is no secret unless a password follows."""
_QUERY = r"(\w://[^\s'\"<>?#]*)\?[^\s'\"<>)]+"
_TOKENS = r"(?i)((?:token|password|passwd|secret|api[_-]?key|signature|credential)=)[^&/\s'\"]+"
_IN_CHANNELS = r"(\w://[^/\s'\"]+/(?:[^\s'\"]*?/)?t/)[^&/\s'\"]+"
_HEADER = r"((?i:authorization)['\"]?\s*[:=]\s*['\"]?\w+|\b(?:Basic|Bearer))\s+(?=\S*[\d=_.])[A-Za-z0-9+/_.~=-]{8,}"


def redact_tokens(text: str) -> str:
    """Text without the values of telling names, and without conda's ``/t/TOKEN`` in addresses; a path may have a ``t``.

    >>> redact_tokens("token=abc /data/t/env https://host/t/abc/channel")
    'token=**** /data/t/env https://host/t/****/channel'
    """
    return re.sub(_IN_CHANNELS, r"\1****", re.sub(_TOKENS, r"\1****", text))


def redact(text: str) -> str:
    """Text without what URLs may hold of secrets: user and password, whole queries (signed URLs), conda's ``/t/TOKEN``.

    >>> redact("cannot read https://me:secret@example.org/t/abc-1/simple?X-Amz-Signature=xyz")
    'cannot read https://****@example.org/t/****/simple?****'
    >>> redact("git clone ssh://git@host/a.git ssh://git:secret@host/b.git")
    'git clone ssh://git@host/a.git ssh://****@host/b.git'
    >>> redact("Authorization: Basic dXNlcjpzZWNyZXQ=")
    'Authorization: Basic ****'
    """
    text = re.sub(_USER_INFO, r"\1****@", text)
    text = re.sub(_QUERY, r"\1?****", text)
    return re.sub(_HEADER, r"\1 ****", redact_tokens(text))
