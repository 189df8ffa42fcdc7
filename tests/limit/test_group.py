"""Groups of tags: every machine's way to compare sixteen at once gives what comparing one by one gives."""

from __future__ import annotations

import platform
import random
import shutil
import subprocess
from pathlib import Path

import pytest

EXT = Path(__file__).parents[2] / "ext"
# Reads groups of 16 tags and a wanted one; writes the mask, and where its first bit is from each start.
PROGRAM = """
#include <cstdio>
#include "limit/group.h"
#if !(WAY)
#error the way that the header must have taken
#endif
int main() {
  alignas(16) unsigned char tags[17];
  while (std::fread(tags, 1, 17, stdin) == 17) {
    const auto mask = rl::group_match(tags, tags[16]);
    std::printf("%u", mask);
    for (unsigned start = 0; mask != 0 && start < rl::RL_GROUP; ++start) {
      std::printf(" %u", rl::mask_first_from(mask, start));
    }
    std::printf("\\n");
  }
}
"""
# Way -> the compiler, what selects the way (and proves that it did), and what runs the result.
WAYS = {
    "x86_64 sse2": (["g++", "-DWAY=__SSE2__"], []),
    "scalar": (["g++", "-U__SSE2__", "-U__ARM_NEON", "-DWAY=1"], []),
    "aarch64 neon": (["aarch64-linux-gnu-g++", "-static", "-DWAY=__ARM_NEON"], ["qemu-aarch64"]),
}
if platform.machine() == "aarch64":
    WAYS["aarch64 neon"] = (["g++", "-DWAY=__ARM_NEON"], [])
    WAYS["x86_64 sse2"] = (["x86_64-linux-gnu-g++", "-static", "-DWAY=__SSE2__"], ["qemu-x86_64"])


def expected(tags: bytes, wanted: int) -> str:
    hits = [i for i in range(16) if tags[i] == wanted]
    firsts = [min(hits, key=lambda i: (i - start) % 16) for start in range(16)] if hits else []
    return " ".join(map(str, [sum(1 << i for i in hits), *firsts]))


def groups() -> list[bytes]:
    """Every single place, none and all, and random ones: of few tags, so that they match, and of any."""
    rng = random.Random(16)
    found = [bytes(7 if i == at else 0x87 for i in range(16)) + b"\x07" for at in range(17)]
    found += [bytes([tag]) * 17 for tag in (0, 1, 0x7F, 0x80, 0xFF)]
    found += [bytes(rng.choices((0, 0x80, 0xFF, rng.randrange(256)), k=17)) for _ in range(3000)]
    return found + [rng.randbytes(17) for _ in range(1000)]


@pytest.mark.skipif(not EXT.exists(), reason="the sources are not beside the tests: a sanitizer's run")
@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same(way: str, tmp_path: Path) -> None:
    compiler, runner = WAYS[way]
    for tool in (compiler[0], *runner):
        if shutil.which(tool) is None:
            pytest.skip(f"the {way} branch of limit/group.h was NOT compiled: no {tool} here")
    source, program = tmp_path / "group.cc", tmp_path / "group"
    source.write_text(PROGRAM)
    flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{EXT}"]
    subprocess.run([*compiler, *flags, str(source), "-o", str(program)], check=True)
    given = groups()
    done = subprocess.run([*runner, str(program)], input=b"".join(given), capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == [expected(group[:16], group[16]) for group in given]
