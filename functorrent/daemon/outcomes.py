"""What became of a try, as the store keeps it and as people are told."""

from __future__ import annotations

from dataclasses import replace

from twisted.python.failure import Failure

from functorrent.errors import FetchFailed, FunctorrentError, InputError, NotAnInfoDictionary
from functorrent.fetch.report import FetchReport
from functorrent.fetch.result import Metadata
from functorrent.infohash import V1_LENGTH, matches
from functorrent.store.jobs import Claim, Result

#: How a try ended, as it is told to telemetry and in the log.
FETCHED, FAILED, GAVE_UP = "fetched", "failed", "gave_up"
INTERRUPTED, CANCELLED = "interrupted", "cancelled"


def result_of(claim: Claim, metadata: Metadata, seconds: float) -> Result:
    """What the store is to keep of a fetch that took so many seconds."""
    summary = metadata.summary
    return Result(
        key=claim.key,
        info_bytes=metadata.info_bytes,
        name=metadata.name,
        size=summary.size,
        files=summary.files,
        private=summary.private,
        seconds=seconds,
        report=metadata.report.to_json(),
        nodes=metadata.nodes,
    )


def report_of(failure: Failure) -> FetchReport:
    """The report of a try that failed, whatever with."""
    error = failure.value
    if isinstance(error, FetchFailed):
        return error.report
    if isinstance(error, FunctorrentError):
        return FetchReport(reason=str(error))
    return FetchReport(reason=f"internal error ({type(error).__name__}); the log has more")


def is_of(claim: Claim, metadata: Metadata) -> bool:
    """Whether it is what the job is asked for by: one of v2 was fetched by the v1 infohash that a magnet
    gave beside, which may be any."""
    return len(claim.key) == V1_LENGTH or matches(claim.key, metadata.info_bytes)


def other_torrent(metadata: Metadata) -> FetchReport:
    """The report of a fetch where `is_of` is false."""
    return replace(metadata.report, reason="its v1 infohash is another torrent's than its v2 infohash")


def is_final(failure: Failure) -> bool:
    """Whether no further try can help: nobody has what it asks for, or we cannot fetch its kind."""
    return bool(failure.check(NotAnInfoDictionary, InputError))


def is_bug(failure: Failure) -> bool:
    """Whether it should not have happened at all."""
    return not failure.check(FunctorrentError)
