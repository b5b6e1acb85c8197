"""Bytes below the protocol: sockets of every kind, HTTP replies read strictly, WebSocket frames made and taken apart.

Nothing here refuses to send what a client should not send: that is the point.
"""
import base64
import hashlib
import os
import socket
import ssl
import struct
from dataclasses import dataclass, field

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OP_NAMES = {CONT: "CONT", TEXT: "TEXT", BINARY: "BINARY", CLOSE: "CLOSE", PING: "PING", PONG: "PONG"}


class Gone(Exception):
    """The peer closed or reset the connection."""


class Late(Exception):
    """Nothing came in time."""


def open_socket(address, timeout=10, rcvbuf=None, tls=None, source=None, preface=b""):
    """address is (host, port) or the path of a Unix socket; tls an SSLContext; preface bytes before anything else."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.settimeout(timeout)
    try:
        if source:
            sock.bind((source, 0))
        sock.connect(address)
        if preface:
            sock.sendall(preface)
        return tls.wrap_socket(sock, server_hostname="localhost") if tls else sock
    except Exception:
        sock.close()
        raise


@dataclass
class Reply:
    """An HTTP reply; headers keep their order and repetition."""
    status: int
    reason: str
    version: str
    headers: list
    body: bytes = b""
    rest: bytes = b""  # bytes that came after the head of a 101

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name, default=None):
        found = self.all(name)
        return found[0] if found else default


def recv_some(sock, size=65536):
    try:
        data = sock.recv(size)
    except (socket.timeout, TimeoutError):
        raise Late("no byte came in time") from None
    except (ConnectionError, ssl.SSLError, BrokenPipeError) as error:
        raise Gone(str(error)) from None
    if not data:
        raise Gone("end of stream")
    return data


def read_reply(sock, head_only=False):
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            data += recv_some(sock)
        except Gone as gone:
            raise Gone(f"{gone} after {data!r}") from None
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    version, status, *reason = lines[0].split(" ", 2)
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    reply = Reply(int(status), reason[0] if reason else "", version, headers)
    if reply.status == 101:
        reply.rest = rest
        return reply
    length = reply.get("content-length")
    if head_only or reply.status in (204, 304):
        reply.body = rest
        return reply
    try:
        while length is None or len(rest) < int(length):
            rest += recv_some(sock)
    except (Gone, Late):
        if length is not None:
            raise
    reply.body = rest
    return reply


def request_bytes(method, target, headers, body=b"", version="HTTP/1.1"):
    lines = [f"{method} {target} {version}"] + [f"{n}: {v}" for n, v in headers]
    return "\r\n".join(lines).encode("latin-1", "surrogateescape") + b"\r\n\r\n" + body


def http(address, method="GET", target="/", headers=(), body=b"", host=None, version="HTTP/1.1", **socket_options):
    """One request on a connection of its own."""
    host = host or ("localhost" if isinstance(address, str) else f"{address[0]}:{address[1]}")
    lines = [("Host", host), *headers]
    if body and not any(n.lower() == "content-length" for n, _ in lines):
        lines.append(("Content-Length", len(body)))
    lines.append(("Connection", "close"))
    with open_socket(address, **socket_options) as sock:
        sock.sendall(request_bytes(method, target, lines, body, version))
        return read_reply(sock, head_only=method == "HEAD")


def fresh_key():
    return base64.b64encode(os.urandom(16)).decode()


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def mask_bytes(key, payload):
    if not payload:
        return b""
    repeated = (key * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length_form=None, declared=None):
    """One frame. length_form 7, 16 or 64 forces that many length bits; declared lies about the length."""
    size = len(payload) if declared is None else declared
    form = length_form or (7 if size < 126 else 16 if size < 65536 else 64)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if form == 7:
        head += bytes([bit | size])
    elif form == 16:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + mask_bytes(key, payload)


@dataclass
class Frame:
    fin: bool
    rsv: int
    opcode: int
    payload: bytes
    masked: bool = False

    def __str__(self):
        name = OP_NAMES.get(self.opcode, hex(self.opcode))
        shown = self.payload[:160]
        more = "…" if len(self.payload) > len(shown) else ""
        return f"{name}{'' if self.fin else ' (more)'} {len(self.payload)} B {shown!r}{more}"


@dataclass
class Decoder:
    """Server frames out of a byte stream."""
    data: bytearray = field(default_factory=bytearray)
    at: int = 0

    def feed(self, data):
        if self.at > 1 << 20 or self.at == len(self.data):
            del self.data[:self.at]
            self.at = 0
        self.data += data

    def next(self):
        have = len(self.data) - self.at
        if have < 2:
            return None
        b0, b1 = self.data[self.at], self.data[self.at + 1]
        size, head = b1 & 0x7F, 2
        if size == 126:
            head = 4
        elif size == 127:
            head = 10
        masked = bool(b1 & 0x80)
        whole_head = head + (4 if masked else 0)
        if have < whole_head:
            return None
        if head > 2:
            size = int.from_bytes(self.data[self.at + 2:self.at + head], "big")
        if have < whole_head + size:
            return None
        start = self.at + whole_head
        payload = bytes(self.data[start:start + size])
        self.at = start + size
        return Frame(bool(b0 & 0x80), b0 >> 4 & 7, b0 & 0xF, payload, masked)
