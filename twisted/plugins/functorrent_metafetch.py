"""`twistd metafetch`. Every `twistd` on the machine imports this file: it must cost nothing, nor break."""

from twisted.application.service import ServiceMaker

metafetch = ServiceMaker(
    "metafetch", "functorrent.tap", "Fetch the metadata of magnet links as .torrent files.", "metafetch"
)
