"""Providers of models that a test tells what to answer, on loopback, in the shape of OpenAI's interface."""

import collections
import http.server
import json
import threading


class Providers:
    """One HTTP server; the first part of a path says which provider is meant: `/image/v1/images/generations`.

    A provider answers well unless `fail` or `hang` tell otherwise. `calls` counts what each was asked, `last` is what
    any was asked last, `jobs` are the videos.
    """

    def __enter__(self):
        self.calls = collections.Counter()
        self.failures = collections.defaultdict(list)
        self.jobs, self.last = {}, None
        # Set when a provider that hangs has been asked, and to let it go on.
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.hanging = set()
        handler = type("Handler", (_Handler,), {"providers": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self):
        self.calls.clear()
        self.failures.clear()
        self.hanging.clear()
        self.asked.clear()
        self.go_on.clear()

    def fail(self, provider, times, status=500, code="server_error"):
        """The next `times` calls of the provider fail."""
        self.failures[provider] = [(status, code)] * times

    def hang(self, provider):
        """The provider answers, or goes on with a stream that it has begun, when `go_on` is set."""
        self.hanging.add(provider)


class _Handler(http.server.BaseHTTPRequestHandler):
    providers = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        job = self.path.rsplit("/", 1)[1]
        self._json(200, self._video(job))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        provider, route = self.path.strip("/").split("/v1/")
        self.providers.calls[provider] += 1
        self.providers.last = body
        if self.providers.failures[provider]:
            status, code = self.providers.failures[provider].pop()
            self._json(status, {"error": {"message": "as the test told", "type": "user_error" if status == 400 else "server_error", "code": code}})
            return
        streamed = route == "chat/completions" and body.get("stream")
        if provider in self.providers.hanging and not streamed:
            self._wait()
        if route == "images/generations":
            self._json(200, {"created": 1, "data": [{"url": "http://127.0.0.1/picture"}] * body.get("n", 1)})
        elif route == "audio/speech":
            self._answer(200, "audio/mpeg", b"sound")
        elif route == "videos":
            job = f"job-{len(self.providers.jobs)}"
            self.providers.jobs[job] = {"status": "queued", "seconds": body.get("seconds", "4")}
            self._json(200, self._video(job))
        elif route == "responses":
            self._json(200, RESPONSE)
        elif streamed:
            self._stream(provider, (body.get("stream_options") or {}).get("include_usage"))
        else:
            message = {"role": "assistant", "content": "a reply"}
            self._json(200, _chunk("chat.completion", {"message": message, "finish_reason": "stop"}) | {"usage": USAGE})

    def _video(self, job):
        known = self.providers.jobs[job]
        error = {"code": "moderation", "message": "no"} if known["status"] == "failed" else None
        return {"id": job, "object": "video", "created_at": 1, "model": "sora-2", "error": error} | known

    def _stream(self, provider, usage):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self._event(_chunk("chat.completion.chunk", {"delta": {"role": "assistant", "content": "a "}}))
            if provider in self.providers.hanging:
                self._wait()
            self._event(_chunk("chat.completion.chunk", {"delta": {"content": "reply"}}))
            self._event(_chunk("chat.completion.chunk", {"delta": {}, "finish_reason": "stop"}))
            if usage:
                self._event(_chunk("chat.completion.chunk") | {"usage": USAGE})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            # Nobody listens any more, as some tests want it.
            pass

    def _event(self, message):
        self.wfile.write(b"data: " + json.dumps(message).encode() + b"\n\n")
        self.wfile.flush()

    def _wait(self):
        self.providers.asked.set()
        self.providers.go_on.wait()

    def _json(self, status, message):
        self._answer(status, "application/json", json.dumps(message).encode())

    def _answer(self, status, content_type, body):
        try:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            # Else OpenAI's own client would ask again, and one attempt be three calls.
            self.send_header("x-should-retry", "false")
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass


USAGE = {"prompt_tokens": 1000, "completion_tokens": 2000, "total_tokens": 3000}


TEXT = {"type": "output_text", "text": "a reply", "annotations": []}
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5-mini", "parallel_tool_calls": True, "tools": [],
    "tool_choice": "auto", "output": [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [TEXT]}],
    "usage": {"input_tokens": 1000, "output_tokens": 2000, "total_tokens": 3000},
}


def _chunk(kind, *choices):
    choices = [{"index": 0, "finish_reason": None} | choice for choice in choices]
    return {"id": "chat", "object": kind, "created": 1, "model": "gpt-5-mini", "choices": choices}
