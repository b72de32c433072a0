"""Info dictionaries and the .torrent files around them: written, read, checked, summed up."""

from __future__ import annotations

from functorrent.metainfo.summary import FileEntry as FileEntry
from functorrent.metainfo.summary import InfoSummary as InfoSummary
from functorrent.metainfo.summary import SummarySteps as SummarySteps
from functorrent.metainfo.summary import list_files as list_files
from functorrent.metainfo.summary import summarize as summarize
from functorrent.metainfo.torrent import Metainfo as Metainfo
from functorrent.metainfo.torrent import holds as holds
from functorrent.metainfo.torrent import torrent_bytes as torrent_bytes
