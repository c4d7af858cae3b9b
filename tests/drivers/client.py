"""What the Python clients share; what a round is: drivers_test.cpp."""
import datetime
import decimal
import signal
import sys
import threading
import time
from contextlib import contextmanager

LARGE = 2000  # Rows of app.keyed.


class Rounds:
    def __init__(self, client):
        self.client, self.over, self.number = client, False, 0
        self.last = float("-inf")  # When now_and_then was true.
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.over = True

    def __iter__(self):
        while not self.over:
            self.number += 1
            yield self.number

    def done(self, port):
        print(f"round {self.number} port {port}", flush=True)

    def now_and_then(self):
        """For what is too much for every round."""
        if time.monotonic() - self.last < 2:
            return False
        self.last = time.monotonic()
        return True

    def row(self):
        """What this round writes, by column."""
        n = self.number
        return {"client": self.client, "number": n, "mood": "busy", "price": n + decimal.Decimal("0.25"),
                "tags": [self.client, "a,b", None], "doc": {"n": n}, "raw": bytes([0, n % 256, 255]),
                "moment": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(hours=n)}

    def expect(self, found, wanted):
        """Unlike assert: says both, and is not optimised away."""
        if found != wanted:
            sys.exit(f"round {self.number}: {found!r} instead of {wanted!r}")


@contextmanager
def cancelling(cancel):
    """While the body runs, another thread cancels it, again where a cancel came before the statement."""
    ended = threading.Event()

    def repeat():
        while not ended.wait(0.01):
            cancel()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
