"""When a magnet that could not be fetched is tried again: soon at first, then once a day, until given up."""

from __future__ import annotations

from secrets import randbelow

#: Seconds from the first failed try to the second, and so on; a swarm that slept comes back within hours.
DELAYS = (60.0, 300.0, 1800.0, 7200.0, 21_600.0)
#: ... and from then on.
DAILY = 86_400.0
#: A delay is this much longer or shorter by chance: 100,000 magnets that failed together would otherwise
#: come back together, again and again.
JITTER = 0.1
_STEPS = 1_000_001


def delay_after(tries: int) -> float:
    """Seconds to wait when `tries` (1 or more) have failed, by chance up to 10 % more or less."""
    delay = DELAYS[tries - 1] if tries <= len(DELAYS) else DAILY
    # secrets: when we ask trackers again is nothing that a stranger should be able to work out.
    return delay * (1 - JITTER + 2 * JITTER * randbelow(_STEPS) / (_STEPS - 1))


def next_attempt(tries: int, since: float, now: float, give_up_after: float) -> float | None:
    """When to try again after `tries` failed tries, or None: it is given up.

    `since`: when somebody asked for it; `now`: the present; both, and the answer, in seconds since the
    epoch. `give_up_after`: seconds from `since`; a try that would come later is not made.
    """
    due = now + delay_after(tries)
    return due if due <= since + give_up_after else None
