"""A DynamoDB Local of the benchmark's own: installed as for the tests, in memory, on a loopback port, gone when the benchmark ends."""

import atexit
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import places

# The server takes any of them. boto3 knows the region by the second name alone.
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
START_SECONDS = 60


class Dynamodb:
    def __init__(self):
        script = ". scripts/env.sh && . scripts/servers.sh && echo $RECON_TEST_DYNAMODB"
        found = subprocess.run(["bash", "-c", script], cwd=places.PROJECT, check=True, stdout=subprocess.PIPE, text=True)
        folder = pathlib.Path(found.stdout.strip().splitlines()[-1])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        words = ["java", "-Xmx4g", "-jar", "DynamoDBLocal.jar"]
        words += ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", self.url.rsplit(":", 1)[1]]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "DynamoDBLocal_lib")}
        self.process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > until:
                raise SystemExit("DynamoDB Local does not answer")
            time.sleep(0.1)

    def answers(self):
        try:
            urllib.request.urlopen(self.url, timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self):
        self.process.kill()
        self.process.wait()
