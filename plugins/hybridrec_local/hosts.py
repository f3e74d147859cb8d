"""The names under which our pages answer.

A page of a stranger can let its own name lead to 127.0.0.1 (DNS rebinding); the browser then takes our pages for the stranger's. It still
says the stranger's name in the header Host, and such a request is answered with 400.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

THIS_MACHINE = ("localhost", "127.0.0.1")


def allowed_hosts() -> list[str]:
    """List the names of this machine and those that HYBRIDREC_ALLOWED_HOSTS adds, joined by commas; a port after a name is ignored."""
    added = os.environ.get("HYBRIDREC_ALLOWED_HOSTS", "").split(",")
    return list(dict.fromkeys([*THIS_MACHINE, *(host.strip().split(":")[0] for host in added if host.strip())]))


def only_allowed_hosts(app: ASGIApp) -> ASGIApp:
    """Return an application that answers requests for the allowed names only."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return TrustedHostMiddleware(app, allowed_hosts(), www_redirect=False)
