"""stub"""

from __future__ import annotations

from typing import Any


def openapi_routes(app: Any, context: Any) -> None:
    """stub"""
