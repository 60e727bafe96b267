"""A relay in a process of its own, which knows no protocol: tickets in on the first line, its port out, ends with its
input."""

from __future__ import annotations

import json
import sys

from federation.transports.relay import Relay


def main() -> None:
    relay = Relay()
    session, tickets = json.loads(sys.stdin.readline())
    port = relay.serve("127.0.0.1:0")
    relay.open_session(session, tickets)
    print(port, flush=True)
    sys.stdin.read()
    relay.stop()


if __name__ == "__main__":
    main()
