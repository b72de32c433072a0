"""Tests of the codecs: no sockets, no clock."""
