"""The page at `/`: a shell and its fixed assets, read once, served from memory."""
