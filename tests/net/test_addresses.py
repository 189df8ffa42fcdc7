"""Where the server listens, and what it says about addresses that it cannot use."""

from __future__ import annotations

import grp
import os
import re
import socket
import stat

import pytest
from http2_peer import Peer
from ratelimitd._ext.net.probe import Server


def works(address: str) -> bool:
    peer = Peer(address)
    peer.send(peer.call(1))
    answer = peer.answer(1)
    peer.close()
    return answer.grpc_status == 0


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_tcp(serve):
    """Port 0 becomes a real port; the address bound can be dialled."""
    _, address = serve("127.0.0.1:0")
    assert address.startswith("127.0.0.1:")
    assert works(address)
    _, named = serve("localhost:0")
    assert works(named)


def test_all_addresses(serve):
    _, address = serve(":0")
    port = address.rsplit(":", 1)[1]
    assert works(f"127.0.0.1:{port}")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6(serve):
    _, address = serve("[::1]:0")
    assert address.startswith("[::1]:")
    assert works(address)


def test_several_listeners():
    server = Server()
    addresses = [server.listen("127.0.0.1:0") for _ in range(3)]
    server.start()
    assert all(works(a) for a in addresses)
    server.stop()


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("", 0o660),
        ("?mode=0600", 0o600),
        ("?mode=0666", 0o666),
        (f"?group={os.getegid()}", 0o660),
        (f"?group={grp.getgrgid(os.getegid()).gr_name}&mode=0640", 0o640),
    ],
    ids=["default", "0600", "0666", "group", "group-0640"],
)
def test_unix(serve, tmp_path, suffix, mode):
    """The socket has the mode asked for, whatever the umask, and goes with the server."""
    path = tmp_path / "rl.sock"
    before = os.umask(0o077)
    try:
        server, address = serve(f"unix:{path}{suffix}")
    finally:
        os.umask(before)
    assert address == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.stat().st_gid == os.getegid()
    assert works(address)
    server.stop()
    assert not path.exists()


@pytest.mark.parametrize(
    ("suffix", "says"),
    [
        ("?mode=rw", "must be octal"),
        ("?mode=0660&group=nobody-is-called-so", "no group"),
        ("?mode=0660&owner=x", "neither"),
        ("?group=", "no group"),
    ],
)
def test_access_that_is_none(tmp_path, suffix, says):
    with pytest.raises(OSError, match=says):
        Server().listen(f"unix:{tmp_path}/rl.sock{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to any group")
def test_a_socket_of_another_group(serve, tmp_path):
    serve(f"unix:{tmp_path}/rl.sock?group=12345")
    assert (tmp_path / "rl.sock").stat().st_gid == 12345


def test_abstract(serve):
    _, address = serve(f"unix:@ratelimitd-test-{os.getpid()}")
    assert works(address)


def test_a_stale_socket_is_replaced(serve, tmp_path):
    """What a dead process left behind; not what a living one listens on, and nothing that is no socket."""
    path = tmp_path / "rl.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    _, address = serve(f"unix:{path}")
    assert works(address)
    with pytest.raises(OSError, match="in use") as error:
        Server().listen(f"unix:{path}")
    assert error.value.errno == -1
    assert works(address)
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        Server().listen(f"unix:{file}")
    assert file.read_text() == "precious"


def test_a_successor_keeps_its_socket(serve, tmp_path):
    """A server that stops removes its own socket only."""
    path = tmp_path / "rl.sock"
    old, _ = serve(f"unix:{path}")
    path.unlink()
    _, address = serve(f"unix:{path}")
    old.stop()
    assert works(address)


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "::1:80",
        "[::1]",
        "[]:80",
        "unix:",
        "unix:" + "x" * 108,
        "unix:/nonexistent/dir/s",
        "unix:/tmp/s?mode=9",
        "unix:/tmp/s?mode=",
        "no-such-host.invalid:80",
        "192.0.2.1:0",  # not ours
    ],
)
def test_addresses_that_do_not_work(address):
    """RL_E_ADDRESS, with a text that names the address."""
    with pytest.raises(OSError, match=re.escape(address.split("?")[0])) as error:
        Server().listen(address)
    assert error.value.errno == -1


def test_an_address_in_use(serve):
    _, address = serve()
    with pytest.raises(OSError, match="in use"):
        Server().listen(address)
