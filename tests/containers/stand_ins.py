"""Images with the names that the project uses, made of the programs of this host where none can be pulled.

They are tagged only while the tests run, so that nobody takes them for the real ones. Debian's archive and
Python's index are those that apt and pip of this host use. Never publish such an image: it has settings of
this host.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.local.broker import find_binary

from .docker_engine import run

DEBIAN = "sluiceway-stand-in/debian"
PACKAGES = ("python3", "python3-pip", "ca-certificates", "tzdata", "media-types")
#: For a small Debian to be downloaded, and for an image to be built.
DEBOOTSTRAP_SECONDS = 900.0
BUILD_SECONDS = 300.0
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: Where Debian's Alertmanager has its templates.
SHARE = Path("/usr/share/prometheus")
#: Settings of pip that an image needs to reach the same index as this host.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")

PYTHON = f"""\
FROM {DEBIAN}
COPY {CERTIFICATES.name} {CERTIFICATES}
COPY pip.conf /etc/pip.conf
RUN ln -s /usr/bin/python3 /usr/local/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
CMD ["python3"]
"""
#: As the real one, it has a shell and wget.
NATS = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-p", "/usr/bin", "/usr/sbin", "/sbin", "/etc/nats", "/tmp"]
RUN ["/bin/busybox", "--install"]
COPY nats-server docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["nats-server", "--config", "/etc/nats/nats-server.conf"]
"""
NATS_ENTRYPOINT = """\
#!/bin/sh
if [ "$#" -eq 0 ] || [ "${1#-}" != "$1" ]; then set -- nats-server "$@"; fi
exec "$@"
"""
#: As the real ones of Prometheus and Alertmanager; `{name}` is the program's, and `share` has its files.
PROMETHEUS = f"""\
FROM {DEBIAN}
COPY {{name}} /bin/{{name}}
COPY share {{share}}
RUN mkdir -p /{{name}} /etc/{{name}} && chown 65534:65534 /{{name}}
USER 65534
WORKDIR /{{name}}
VOLUME /{{name}}
ENTRYPOINT ["/bin/{{name}}"]
CMD ["--config.file=/etc/{{name}}/{{name}}.yml"]
"""


@contextmanager
def images(names: Sequence[str]) -> Iterator[list[str]]:
    """Let the engine have these images while the block runs; give the names of those that are stand-ins.

    Skips if a stand-in cannot be made here.
    """
    made = [name for name in names if not _exists(name)]
    try:
        for name in made:
            _make(name)
        yield made
    finally:
        for name in made:
            subprocess.run(["docker", "rmi", "--no-prune", name], capture_output=True, check=False)


def _make(name: str) -> None:
    """Build the stand-in of an image once, and give it the name."""
    repository = name.partition(":")[0]
    stand_in = f"sluiceway-stand-in/{repository.replace('/', '-')}"
    if not _exists(stand_in):
        with tempfile.TemporaryDirectory() as folder:
            RECIPES[repository](Path(folder))
            run("docker", "build", "--tag", stand_in, folder, seconds=BUILD_SECONDS)
    run("docker", "tag", stand_in, name)


def _exists(image: str) -> bool:
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    return found.returncode == 0


def _python(folder: Path) -> None:
    _need_debian()
    (folder / "Dockerfile").write_text(PYTHON)
    shutil.copy(CERTIFICATES, folder)
    (folder / "pip.conf").write_text("\n".join(("[global]", f"cert = {CERTIFICATES}", *_pip_lines(), "")))


def _nats(folder: Path) -> None:
    (folder / "Dockerfile").write_text(NATS)
    _copy_program("busybox", folder / "busybox", "busybox-static")
    shutil.copy(find_binary(), folder / "nats-server")
    entrypoint = folder / "docker-entrypoint.sh"
    entrypoint.write_text(NATS_ENTRYPOINT)
    entrypoint.chmod(0o755)


def _prometheus(folder: Path) -> None:
    _monitoring_program(folder, "prometheus", "prometheus")


def _alertmanager(folder: Path) -> None:
    _monitoring_program(folder, "alertmanager", "prometheus-alertmanager")


def _monitoring_program(folder: Path, name: str, installed_as: str) -> None:
    _need_debian()
    (folder / "Dockerfile").write_text(PROMETHEUS.format(name=name, share=SHARE / name))
    _copy_program(installed_as, folder / name, installed_as)
    (folder / "share").mkdir()
    if (SHARE / name).exists():
        shutil.copytree(SHARE / name, folder / "share", dirs_exist_ok=True)


#: The repository of an image → what writes the folder from which its stand-in is built.
RECIPES: Mapping[str, Callable[[Path], None]] = {
    "python": _python,
    "nats": _nats,
    "prom/prometheus": _prometheus,
    "prom/alertmanager": _alertmanager,
}


def _copy_program(name: str, to: Path, package: str) -> None:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed, so no container ran: apt-get install {package}")
    shutil.copy(found, to)


def _need_debian() -> None:
    """Make the image that the others are built from: a small Debian with Python."""
    if _exists(DEBIAN):
        return
    if not shutil.which("debootstrap"):
        pytest.skip(
            "images cannot be made without debootstrap, so no container ran: apt-get install debootstrap"
        )
    release = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert release
    with tempfile.TemporaryDirectory(prefix="sluiceway-debian-") as folder:
        included = f"--include={','.join(PACKAGES)}"
        run(
            "debootstrap", "--variant=minbase", included, release[1], folder, _archive(release[1]),
            seconds=DEBOOTSTRAP_SECONDS,
        )  # fmt: skip
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as archived:
            subprocess.run(
                ["docker", "import", "-", DEBIAN], stdin=archived.stdout, check=True, capture_output=True
            )
        assert archived.returncode == 0


def _archive(release: str) -> str:
    """Return the address from which apt of this host gets Debian's packages."""
    addresses = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)",
        "Created-By: Packages", "Origin: Debian", "Component: main", f"Codename: {release}",
    ).split()  # fmt: skip
    if not addresses:
        pytest.skip("apt knows no archive of Debian, so no image could be made, and no container ran")
    return addresses[0]


def _pip_lines() -> Iterator[str]:
    for setting in PIP_SETTINGS:
        with suppress(AssertionError):  # it is not set
            yield f"{setting} = {run('pip', 'config', 'get', f'global.{setting}').strip()}"
