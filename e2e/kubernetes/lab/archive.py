#!/usr/bin/env python3
"""Writes a container image as an archive, without Docker or a registry.

The archive has one layer and is what `docker load`, `kind load image-archive`
and `ctr images import` take. The same input gives the same bytes.
"""
import argparse
import hashlib
import io
import json
import os
import subprocess
import tarfile

USERS = "root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n"
GROUPS = "root:x:0:\nnonroot:x:65532:\n"


class Layer:
    """A file system that grows by files, links and their parent folders."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w")
        self.known = set()

    def add(self, path, content=b"", mode=0o644, kind=tarfile.REGTYPE, link=""):
        path = path.strip("/")
        if path in self.known:
            return
        self.add_parents(path)
        self.known.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, len(content)
        self.tar.addfile(entry, io.BytesIO(content))

    def add_parents(self, path):
        parent = os.path.dirname(path)
        if parent:
            self.add(parent, mode=0o755, kind=tarfile.DIRTYPE)

    def add_file(self, source, path):
        with open(source, "rb") as file:
            self.add(path, file.read(), mode=0o755 if os.access(source, os.X_OK) else 0o644)

    def add_libraries(self, program):
        """The shared libraries that `ldd` names, where the loader looks for them."""
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        for word in listed.stdout.split():
            if word.startswith("/"):
                self.add_file(word, word)

    def finish(self):
        self.tar.close()
        return self.bytes.getvalue()


def full_name(name):
    """`busybox:1` means docker.io/library/busybox:1 to a container runtime."""
    first, slash, _ = name.partition("/")
    if not slash:
        return "docker.io/library/" + name
    return name if "." in first or ":" in first else "docker.io/" + name


def write(output, name, layer, entrypoint, user):
    config = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
    if entrypoint:
        config["Entrypoint"] = entrypoint.split(",")
    if user:
        config["User"] = user
    digest = hashlib.sha256(layer).hexdigest()
    image = json.dumps({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
        "history": [{"created_by": "archive.py"}],
    }).encode()
    image_file, layer_file = hashlib.sha256(image).hexdigest() + ".json", digest + "/layer.tar"
    manifest = json.dumps([{"Config": image_file, "RepoTags": [full_name(name)], "Layers": [layer_file]}]).encode()
    with tarfile.open(output + ".new", "w") as archive:
        for path, content in (image_file, image), (layer_file, layer), ("manifest.json", manifest):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    os.replace(output + ".new", output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="archive to write")
    parser.add_argument("name", help="name and tag of the image")
    parser.add_argument("files", nargs="*", metavar="SOURCE=PATH", help="file here = path in the image")
    parser.add_argument("--link", action="append", default=[], metavar="PATH=TARGET", help="symbolic link")
    parser.add_argument("--entrypoint", help="program and arguments, separated by commas")
    parser.add_argument("--user", help="user and group, for instance 65532:65532")
    parser.add_argument("--libraries", action="store_true", help="add the shared libraries of the files")
    arguments = parser.parse_intermixed_args()
    layer = Layer()
    layer.add("tmp", mode=0o1777, kind=tarfile.DIRTYPE)
    layer.add("etc/passwd", USERS.encode())
    layer.add("etc/group", GROUPS.encode())
    for file in arguments.files:
        source, _, path = file.partition("=")
        layer.add_file(source, path)
        if arguments.libraries:
            layer.add_libraries(source)
    for link in arguments.link:
        path, _, target = link.partition("=")
        layer.add(path, kind=tarfile.SYMTYPE, mode=0o777, link=target)
    write(arguments.output, arguments.name, layer.finish(), arguments.entrypoint, arguments.user)


if __name__ == "__main__":
    main()
