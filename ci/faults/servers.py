"""Servers on loopback: files that come badly, a registry, and a proxy before it that does what networks do."""

import http.client
import http.server
import pathlib
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    # A client that hangs up is no failure of the server.
    def handle_error(self, *_):
        pass


class Served:
    """An HTTP server with this handler, until it is ended."""

    def __init__(self, handler):
        self.server = Quiet(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Files(Served):
    """Files; the request with the number `at` is answered badly, or every one if that is 0."""

    def __init__(self, files, how=None, at=None):
        self.count, lock = 0, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                with lock:
                    outer.count += 1
                    bad = how if at in (outer.count, 0) else None
                body = files[self.path.lstrip("/")]
                if bad == "reset":
                    return reset(self.connection)
                if bad == "silence":
                    return
                if isinstance(bad, int):
                    return self.send_error(bad)
                start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-")).group(1))
                body = bytes(len(body)) if bad == "wrong" else body
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body) - start))
                self.end_headers()
                self.wfile.write(body[start:start + (len(body) - start) // 2] if bad == "cut" else body[start:])

        super().__init__(Handler)


class Proxy(Served):
    """Hands requests on to `upstream`, and does one of these to some of them: `share` of all, by chance."""

    FAULTS = ["500", "503", "429", "reset", "lost", "truncated", "stalled", "flipped"]

    def __init__(self, upstream, share, seed, stall=6):
        self.faults, self.upstream = 0, upstream
        rng, lock = random.Random(seed), threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handled(self):
                with lock:
                    fault = rng.choice(outer.FAULTS) if rng.random() < share else None
                    at = rng.random()
                    outer.faults += fault is not None
                self.close_connection = True
                if fault == "reset":
                    return reset(self.connection)
                if fault in ("500", "503", "429"):
                    # What the client still sends would reset the answer.
                    self.body()
                    return self.send_error(int(fault))
                status, headers, body = outer.asked(self.command, self.path, self.headers, self.body())
                if fault == "lost":
                    # It was done, and nobody is told.
                    return reset(self.connection)
                if fault == "flipped" and body:
                    flipped = bytearray(body)
                    flipped[int(at * len(body))] ^= 1 << int(at * 8)
                    body = bytes(flipped)
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                length = dict((name.lower(), value) for name, value in headers).get("content-length", str(len(body)))
                self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command == "HEAD":
                    return
                if fault in ("truncated", "stalled"):
                    self.wfile.write(body[:int(at * len(body))])
                    self.wfile.flush()
                    if fault == "stalled":
                        time.sleep(stall)
                    return
                self.wfile.write(body)

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                pieces = []
                while length := int(self.rfile.readline().split(b";")[0], 16):
                    pieces.append(self.rfile.read(length))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handled

        super().__init__(Handler)

    def asked(self, method, path, headers, body):
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        sent = {name: value for name, value in headers.items() if name.lower() not in ("transfer-encoding", "connection")}
        sent["Content-Length"] = str(len(body))
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        result = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return result


class Registry:
    """docker-registry, with its files in `place`."""

    def __init__(self, place):
        place.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        (place / "config.yml").write_text(
            f"version: 0.1\nstorage:\n  delete: {{enabled: true}}\n  filesystem: {{rootdirectory: {place}/data}}\n"
            f"http: {{addr: '{self.address}'}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", place / "config.yml"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        host, port = self.address.split(":")
        for _ in range(1000):
            try:
                return socket.create_connection((host, int(port))).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise SystemExit("the registry does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def get(self, path, accept="application/vnd.oci.image.manifest.v1+json"):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", f"/v2/{path}", headers={"Accept": accept})
        answer = connection.getresponse()
        result = answer.status, answer.read()
        connection.close()
        return result


def need(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)} (ci/test installs them)")
