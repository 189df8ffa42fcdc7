"""A Lambda layer of the client: a zip file whose python/ folder Lambda puts on the path.

python packaging/layer.py dist/ratelimitd_client-0.1.0-py3-none-any.whl dist/ratelimitd-layer.zip
python packaging/layer.py --grpc --python 3.13 --platform manylinux2014_aarch64 WHEEL ZIP
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo


def install(options: argparse.Namespace, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(target)]
    if options.grpc:
        command += ["--only-binary", ":all:", "--platform", options.platform, "--python-version", options.python]
        command += [f"{options.wheel}[grpc]"]
    else:
        command += ["--no-deps", "--no-index", str(options.wheel)]
    subprocess.run([*command, "--no-compile"], check=True)


def pack(directory: Path, target: Path) -> None:
    """The same files give the same bytes: Lambda publishes no new version of a layer that did not change."""
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            info = ZipInfo(str(path.relative_to(directory)), (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.compress_type = ZIP_DEFLATED
            packed.writestr(info, path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--grpc", action="store_true", help="with grpcio and protobuf, for one platform and Python")
    parser.add_argument("--platform", default="manylinux2014_x86_64")
    parser.add_argument("--python", default="3.13")
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        install(options, Path(directory) / "python")
        unpacked = sum(p.stat().st_size for p in Path(directory).rglob("*") if p.is_file())
        pack(Path(directory), options.zip)
    print(f"{options.zip}: {options.zip.stat().st_size / 1024:,.0f} KiB, {unpacked / 1024:,.0f} KiB unpacked")


if __name__ == "__main__":
    main()
