"""The tests of functorrent, one module for each of its modules."""
