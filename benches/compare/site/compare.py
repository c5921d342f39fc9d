#!/usr/bin/env python3
"""Serves a folder with nginx and with Foreland, and compares every file: status, bytes, media type.

    benches/compare/site/compare.py FOLDER [--foreland target/release/foreland] [--accept gzip]

A real tree is the folder of a Debian documentation package, such as openjdk-17-doc (10,290 files):
    apt-get download openjdk-17-doc && dpkg-deb -x openjdk-17-doc_*.deb doc
Each file is asked for twice, so that what is kept in memory is compared too; with --accept a third time, and what comes
compressed is decompressed by the programs of Debian first. Both servers are stopped at the end.
"""

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

NGINX, FORELAND = 18301, 18302

# Different names of one media type (RFC 9239 §6, RFC 9110 §8.3): nginx 1.22 has the older ones.
SAME = {
    "application/javascript": "text/javascript",
    "image/x-icon": "image/vnd.microsoft.icon",
    "application/xml": "text/xml",
    "application/font-woff": "font/woff",
    "application/x-font-ttf": "font/ttf",
}

CONF = """
worker_processes 1; daemon off; pid {tmp}/nginx.pid; error_log {tmp}/error.log;
events {{ worker_connections 64; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream; access_log off; keepalive_requests 1000000;
  client_body_temp_path {tmp}/b; proxy_temp_path {tmp}/p; fastcgi_temp_path {tmp}/f; uwsgi_temp_path {tmp}/u; scgi_temp_path {tmp}/s;
  server {{ listen 127.0.0.1:{port}; root {root}; index index.html; }}
}}
"""


def wait(port):
    for _ in range(200):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=2).request("GET", "/")
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing answers on port {port}")


class Client:
    def __init__(self, port):
        self.port, self.connection = port, None

    def get(self, target, headers={}):
        for _ in range(2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                self.connection.request("GET", target, headers=headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read(), answer.headers
            except (http.client.HTTPException, OSError):
                self.connection = None
        sys.exit(f"port {self.port} does not answer {target}")


DEFAULT = "application/octet-stream"


def media_type(headers):
    value = (headers.get("Content-Type") or "").split(";")[0].strip().lower()
    return SAME.get(value, value)


DECODERS = {"gzip": ["gzip", "-dc"], "br": ["brotli", "-dc"], "zstd": ["zstd", "-dcq"]}


def meaning(body, headers):
    coding = headers.get("Content-Encoding")
    if coding is None:
        return body
    return subprocess.run(DECODERS[coding], input=body, stdout=subprocess.PIPE, check=True).stdout


def targets(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)
            if os.path.isfile(os.path.join(root, path)):
                yield "/" + urllib.parse.quote(path)


def compare(root, accept):
    nginx, foreland = Client(NGINX), Client(FORELAND)
    files = different = coded = unnamed = 0
    for target in targets(root):
        files += 1
        one = nginx.get(target)
        asked = [{}, {}] + ([{"Accept-Encoding": accept}] if accept else [])
        for headers in asked:
            two = foreland.get(target, headers)
            coded += two[2].get("Content-Encoding") is not None
            ours, theirs = media_type(two[2]), media_type(one[2])
            # nginx has no name for the type, and says so with its default.
            unnamed += ours != theirs and theirs == DEFAULT
            same = one[0] == two[0] and theirs in (ours, DEFAULT) and one[1] == meaning(two[1], two[2])
            length = two[2].get("Content-Length")
            if not same or length is not None and int(length) != len(two[1]):
                different += 1
                print(f"{target}: nginx {one[0]} {media_type(one[2])} {len(one[1])} bytes, "
                      f"Foreland {two[0]} {media_type(two[2])} {len(two[1])} bytes, asked with {headers}")
    for target in ["/no-such-file", "/no/such/folder/"]:
        if nginx.get(target)[0] != foreland.get(target)[0]:
            different += 1
            print(f"{target}: {nginx.get(target)[0]} and {foreland.get(target)[0]}")
    print(f"{files} files, {coded} answers compressed, {different} differences; "
          f"{unnamed} answers of a type that nginx does not know")
    return different == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--foreland", default="target/release/foreland")
    parser.add_argument("--accept", default="")
    arguments = parser.parse_args()
    root = os.path.realpath(arguments.folder)
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/nginx.conf", "w") as conf:
            conf.write(CONF.format(tmp=tmp, port=NGINX, root=root))
        os.chmod(tmp, 0o755)
        servers = [
            subprocess.Popen(["nginx", "-c", f"{tmp}/nginx.conf", "-p", tmp, "-e", f"{tmp}/error.log"]),
            subprocess.Popen([arguments.foreland, "files", root, "--listen", f"127.0.0.1:{FORELAND}", "--log", "off"],
                             stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL),
        ]
        try:
            wait(NGINX)
            wait(FORELAND)
            sys.exit(0 if compare(root, arguments.accept) else 1)
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait(20)


main()
