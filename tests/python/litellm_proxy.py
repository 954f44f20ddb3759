"""The real LiteLLM proxy with genquota's callback, as `examples/litellm` has it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import sidecar

EXAMPLE = sidecar.ROOT / "examples/litellm"
RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
# The proxy loads half a gigabyte of Python on a machine that may be busy.
START_PATIENCE = 240

# Who a key belongs to, without a database of keys: `sk-TEAM` is a key of that team.
KEYS = """
from litellm.proxy._types import UserAPIKeyAuth

async def authenticate(request, api_key):
    return UserAPIKeyAuth(api_key=api_key, team_id=api_key.removeprefix("sk-"), user_id="ada")
"""
# Beside the example's own groups: one that the router balances over two targets, of which it always takes the second.
MIXED = """model_list:
  - {model_name: mixed, litellm_params: {model: openai/dall-e-3, api_key: k, weight: 0}}
  - {model_name: mixed, litellm_params: {model: openai/gpt-image-1, api_key: k, weight: 1}}
"""
# A cache for the requests that ask for it.
CACHE = """litellm_settings:
  cache: true
  cache_params: {type: local, mode: default_off}
"""


def environment():
    """The Python environment with LiteLLM in it. Missing, it fails the test."""
    path = os.environ.get("GENQUOTA_TEST_LITELLM")
    if not path or not (Path(path) / "bin/litellm").is_file():
        raise FileNotFoundError(f"no LiteLLM in `{path}`; hint: `tests/run.sh gateways` installs it and prints what to set")
    return Path(path).resolve()


class Proxy:
    """A proxy of its own, on a port that the system picked; `settings` replace lines of the example's configuration."""

    def __init__(self, server, providers, **settings):
        self.server, self.providers, self.settings = server, providers, settings

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="genquota-litellm-"))
        self.log = self.directory / "log"
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, "process"):
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def crash(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def open(self, path, body, key):
        """Sends a request and returns the answer, whatever its status."""
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(self.address + path, data=body, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=sidecar.PATIENCE)
        except urllib.error.HTTPError as answer:
            return answer

    def _start(self):
        python = environment() / "bin"
        for file in EXAMPLE.glob("*.py"):
            shutil.copy(file, self.directory)
        subprocess.run([EXAMPLE / "make_client.sh", self.directory], env=os.environ | {"PYTHON": str(python / "python")}, check=True)
        (self.directory / "keys.py").write_text(KEYS)
        config = (EXAMPLE / "config.yaml").read_text().replace("model_list:\n", MIXED)
        config = config.replace("litellm_settings:\n", CACHE)
        # Each group has a provider of its own, named like it.
        config = re.sub(r"(model_name: ([\w-]+), litellm_params: {)", rf"\1api_base: {self.providers.address}/\2/v1, ", config)
        config = config.replace("general_settings:\n", "general_settings:\n  custom_auth: keys.authenticate\n")
        for name, value in self.settings.items():
            config, replaced = re.subn(rf"(?m)^(    {name}:) .*$", rf"\1 {value}", config)
            assert replaced == 1, name
        (self.directory / "config.yaml").write_text(config)
        variables = {
            "GENQUOTA_SERVER": self.server,
            "OPENAI_API_KEY": "k",
            "LITELLM_MASTER_KEY": "sk-master",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.directory),
        }
        command = [python / "litellm", "--config", self.directory / "config.yaml", "--host", "127.0.0.1", "--port", "0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, env=sidecar.environment(**variables), stdout=log, stderr=log)
        self.address = self._listening()

    def _listening(self):
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := RUNNING.search(self.log.read_text(errors="replace")):
                return found.group(1)
            time.sleep(0.1)
        raise RuntimeError(f"the proxy did not start:\n{self.log.read_text(errors='replace')}")
