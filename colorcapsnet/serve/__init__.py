"""The page and the HTTP API: a door to :class:`colorcapsnet.colorizer.Canvas`, with no colors of its own."""
