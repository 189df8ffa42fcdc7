"""systemd's readiness protocol (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import contextlib
import socket


def notify(address: str, message: str) -> None:
    """ "READY=1", "STOPPING=1", ... Nothing when `address` is empty; a manager that is gone is no error of ours."""
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(message.encode(), target)
