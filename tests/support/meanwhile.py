"""What another process does between two looks of this one at the disk."""

import os


def begin_meanwhile(monkeypatch, other, error=None):
    """Has another run begin where a file is about to get its name."""
    link, calls = os.link, []

    def slow_link(source, target):
        calls.append(target)
        if len(calls) == 1:
            other()
        if error:
            raise OSError(error, os.strerror(error))
        link(source, target)

    monkeypatch.setattr(os, "link", slow_link)
