"""The live page of `nngpt cycle watch`: a read-only web server for a run in progress."""
