"""A WebSocket client on a raw socket: can break every rule, can stop reading, and checks what the server sends."""
import time
from collections import deque

from . import wire
from .check import fail, ok, short
from .wire import CLOSE, CONT, PING, PONG, TEXT, Gone, Late


class Refused(Exception):
    """The handshake was answered with something other than 101."""

    def __init__(self, reply):
        super().__init__(f"handshake refused: {reply.status} {reply.reason} {short(reply.body)}")
        self.reply = reply


def handshake_headers(host, protocols=(), headers=(), key=None, version="13", without=()):
    lines = [("Host", host), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
             ("Sec-WebSocket-Key", wire.fresh_key() if key is None else key), ("Sec-WebSocket-Version", version)]
    if protocols:
        lines.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    dropped = {name.lower() for name in without}
    return [(n, v) for n, v in lines if n.lower() not in dropped] + list(headers)


def host_of(address):
    if isinstance(address, str):
        return "localhost"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


class WebSocket:
    """Frames in and out. Pings are answered while reading, unless answer_pings is off."""

    def __init__(self, address, path="/ws", protocols=("sluice.v1.json",), headers=(), host=None, answer_pings=True,
                 timeout=10, **socket_options):
        self.timeout = timeout
        self.answer_pings = answer_pings
        self.trace = deque(maxlen=24)
        self.decoder = wire.Decoder()
        self.close_seen = None
        self.sock = wire.open_socket(address, timeout=timeout, **socket_options)
        try:
            self._upgrade(path, host or host_of(address), protocols, headers)
        except Exception:
            self.sock.close()
            raise

    def _upgrade(self, path, host, protocols, headers):
        key = wire.fresh_key()
        lines = handshake_headers(host, protocols, headers, key)
        self.sock.sendall(wire.request_bytes("GET", path, lines))
        self.reply = wire.read_reply(self.sock)
        if self.reply.status != 101:
            raise Refused(self.reply)
        ok(self.reply.get("sec-websocket-accept") == wire.accept_of(key), "wrong Sec-WebSocket-Accept", self.reply)
        ok((self.reply.get("upgrade") or "").lower() == "websocket", "Upgrade header is wrong", self.reply)
        self.protocol = self.reply.get("sec-websocket-protocol")
        if self.protocol is not None:
            ok(self.protocol in protocols, "the server chose a subprotocol that was not offered", self.reply)
        self.decoder.feed(self.reply.rest)

    # sending -----------------------------------------------------------------------------------------------------

    def send_raw(self, data, segment=None, pause=0.0):
        """segment cuts the bytes into TCP segments of that size."""
        self.trace.append(f"> {len(data)} raw bytes {bytes(data[:40])!r}")
        try:
            if not segment:
                self.sock.sendall(data)
                return
            for at in range(0, len(data), segment):
                self.sock.sendall(data[at:at + segment])
                if pause:
                    time.sleep(pause)
        except (ConnectionError, BrokenPipeError) as error:
            raise Gone(str(error)) from None

    def send_frame(self, opcode, payload=b"", segment=None, **how):
        self.send_raw(wire.frame(opcode, payload, **how), segment)
        self.trace[-1] = f"> {wire.Frame(how.get('fin', True), how.get('rsv', 0), opcode, payload)}"

    def send_text(self, text):
        self.send_frame(TEXT, text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)

    def send_close(self, code=1000, reason=b""):
        self.send_frame(CLOSE, code.to_bytes(2, "big") + reason if code else b"")

    # receiving ---------------------------------------------------------------------------------------------------

    def recv_frame(self, timeout=None):
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            got = self.decoder.next()
            if got:
                self._inspect(got)
                return got
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late("no frame came in time")
            self.sock.settimeout(left)
            self.decoder.feed(wire.recv_some(self.sock, 1 << 18))
            self.sock.settimeout(self.timeout)

    def _inspect(self, got):
        self.trace.append(f"< {got}")
        if got.masked or got.rsv:
            fail("the server sent a masked frame or reserved bits", str(got))
        if got.opcode >= 8 and (not got.fin or len(got.payload) > 125):
            fail("the server sent a broken control frame", str(got))
        if self.close_seen:
            fail("the server sent a frame after its CLOSE", str(got))
        if got.opcode == CLOSE:
            self.close_seen = got

    def recv_message(self, timeout=None):
        """The next whole data message: (opcode, payload). Control frames are handled on the way."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        kind, parts = None, []
        while True:
            got = self.recv_frame(max(0.0, deadline - time.monotonic()))
            if got.opcode == PING:
                if self.answer_pings:
                    self.send_frame(PONG, got.payload)
            elif got.opcode == CLOSE:
                raise Gone(f"closed by {self.close_code()}")
            elif got.opcode != PONG:
                ok((got.opcode == CONT) == (kind is not None), "the server broke the order of fragments", str(got))
                kind = got.opcode if kind is None else kind
                parts.append(got.payload)
                if got.fin:
                    return kind, b"".join(parts)

    def close_code(self):
        """(code, reason) of the CLOSE that came; code None when it had no payload."""
        payload = self.close_seen.payload
        if not payload:
            return None, ""
        ok(len(payload) >= 2, "CLOSE with one byte of payload", payload)
        return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8")

    def wait_close(self, timeout=None):
        """Reads on until the server's CLOSE, answers it, waits for the end of the stream. Returns (code, reason)."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self.close_seen:
            self.recv_frame(max(0.0, deadline - time.monotonic()))
        result = self.close_code()
        try:
            self.send_frame(CLOSE, self.close_seen.payload[:2])
        except Gone:
            pass
        self.wait_end(max(1.0, deadline - time.monotonic()))
        return result

    def wait_end(self, timeout=None):
        """The stream ends: EOF or reset. Frames before it are taken; returns them."""
        frames, deadline = [], time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            try:
                frames.append(self.recv_frame(max(0.0, deadline - time.monotonic())))
            except Gone:
                return frames

    def finish(self, code=1000):
        """A polite close; the echo of the code comes back."""
        self.send_close(code)
        result = None
        while not self.close_seen:
            self.recv_frame()
        result = self.close_code()
        self.wait_end()
        return result

    def abort(self):
        self.sock.close()
