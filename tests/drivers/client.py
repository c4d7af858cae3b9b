"""What the Python clients share: work until SIGTERM, say `ready` and the port of the server that answers."""
import signal


class Until:
    def __init__(self):
        self.over, self.port = False, None
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.over = True

    def answered_by(self, port):
        if port != self.port:
            if self.port is None:
                print("ready")
            print(f"port {port}", flush=True)
            self.port = port
