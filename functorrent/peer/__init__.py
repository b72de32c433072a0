"""One connection to one peer, on Twisted: protocol, extensions, ut_metadata, listener."""
