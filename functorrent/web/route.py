"""Which route a request took, by its template: a label that were a path would make a series for each."""

from __future__ import annotations

import re
from typing import Any

from klein.interfaces import IKleinRequest
from werkzeug.exceptions import HTTPException

#: What took no route: refused at the doors, or not there.
NONE = "-"
_VARIABLE = re.compile(r"<(?:[^<>:]*:)?([^<>:]*)>")


def route_of(request: Any) -> str:
    """As ``/api/v1/magnets/{infohash}``; NONE where no route was taken."""
    taken = request.getComponent(IKleinRequest)
    mapper = getattr(taken, "mapper", None)
    if mapper is None:
        return NONE
    try:
        rule, _ = mapper.match(return_rule=True)
    except HTTPException:
        return NONE
    return _VARIABLE.sub(r"{\1}", str(rule.rule))
