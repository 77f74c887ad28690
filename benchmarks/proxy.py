"""A way to Redis that takes longer: answers come a while later than they would. Run: PORT, TARGET PORT, MILLISECONDS.

Two blocking threads per connection, because a sleeping thread keeps a millisecond better than an event loop does.
"""

import socket
import sys
import threading
import time

from verify_service.process import die_with_parent


def _pump(source: socket.socket, target: socket.socket, delay: float) -> None:
    try:
        while data := source.recv(65_536):
            if delay:
                time.sleep(delay)
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            end.close()


def main() -> None:
    """Passes on until it is killed."""
    die_with_parent()
    port, target, milliseconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for arguments in ((near, far, 0.0), (far, near, milliseconds / 1000)):
                threading.Thread(target=_pump, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main()
