"""API keys: making them, and telling who calls."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from app.db import SessionFactory, database_now, reading
from app.errors import ForbiddenError, UnauthorizedError
from app.repositories import keys
from app.services.context import ServiceContext
from app.tables import ApiKeyRow

Scope = Literal["read", "write"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_WORKSPACE = "default"

_PREFIX = "onnxpress_"
_SHA256_OF_NOTHING = hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Caller:
    """Who calls: the workspace whose things they see, and what they may do there."""

    workspace: str
    scopes: frozenset[str]


def create(
    session_factory: SessionFactory,
    name: str,
    *,
    workspace: str = DEFAULT_WORKSPACE,
    scopes: Sequence[Scope] = SCOPES,
    expires_at: datetime | None = None,
) -> tuple[ApiKeyRow, str]:
    """Make a key; return its row and the key itself, which nobody can read again."""
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    with session_factory.begin() as session:
        row = ApiKeyRow(
            id=key_id,
            workspace=workspace,
            name=name,
            secret_sha256=_sha256(secret),
            scopes=" ".join(scopes),
            created_at=database_now(session),
            expires_at=expires_at,
        )
        return keys.add(session, row), f"{_PREFIX}{key_id}.{secret}"


def authorize(context: ServiceContext, token: str | None, scope: Scope) -> Caller:
    """Return who calls with this key; with `auth` set to `none`, everybody is the same caller.

    Raises:
        UnauthorizedError: the key is missing, unknown, wrong, expired or revoked.
        ForbiddenError: it lacks the scope.
    """
    if context.settings.auth == "none":
        return Caller(DEFAULT_WORKSPACE, frozenset(SCOPES))
    caller = _authenticate(context.session_factory, token or "")
    if scope not in caller.scopes:
        raise ForbiddenError(f"this key lacks the scope {scope!r}; ask for one that has it")
    return caller


def _authenticate(session_factory: SessionFactory, token: str) -> Caller:
    key_id, _, secret = token.removeprefix(_PREFIX).partition(".")
    is_ours = token.startswith(_PREFIX) and key_id.isalnum() and key_id.isascii()
    with reading(session_factory) as session:
        row = keys.find_valid(session, key_id) if is_ours else None
        is_noted = row is not None and keys.is_use_noted(session, row)
    is_right = hmac.compare_digest(
        _sha256(secret), row.secret_sha256 if row else _SHA256_OF_NOTHING
    )
    if row is None or not is_right:
        raise UnauthorizedError(
            "give a valid API key as `Authorization: Bearer onnxpress_<id>.<secret>`"
        )
    if not is_noted:  # most requests write nothing, and so wait for no writer
        with session_factory.begin() as session:
            keys.mark_used(session, key_id)
    return Caller(row.workspace, frozenset(row.scopes.split()))


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
