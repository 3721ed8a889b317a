"""An address that a node gives as its own, and somebody else answers; see .ci/check-page."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stranger:
    """Lets every page call, wants a token for everything, and remembers all it was told."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.heard = heard = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                heard.append((self.command, self.path, list(self.headers.items()), self.rfile.read(length)))
                is_preflight = self.command == "OPTIONS"
                body = b"" if is_preflight else b'{"type":"about:blank","title":"Unauthorized","status":401,"detail":"who are you?"}\n'
                self.send_response(204 if is_preflight else 401)
                self.send_header("access-control-allow-origin", self.headers.get("origin") or "*")
                self.send_header("access-control-allow-credentials", "true")
                self.send_header("access-control-allow-headers", "authorization, content-type, last-event-id")
                self.send_header("access-control-allow-methods", "GET, POST, PUT, DELETE")
                self.send_header("www-authenticate", "Bearer")
                self.send_header("content-type", "application/problem+json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
