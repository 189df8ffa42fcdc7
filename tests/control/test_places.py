"""A database of places belongs to the policy as a rule file does: a new one is used, a broken one is told."""

from __future__ import annotations

from pathlib import Path

from ratelimitd.client import Client, Request
from tests.waf.mmdb import COUNTRIES, QUITO, write_places

from .conftest import Launch

POLICY = """\
version: 1
domain: shop
scan:
  mode: block
  rulesets: [{seclang: rules.conf}]
"""
RULES = """\
SecGeoLookupDb places.mmdb
SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,deny,status:451,chain"
SecRule GEO:COUNTRY_CODE "@within EC" "t:none"
"""


def test_a_new_database_is_used(launch: Launch, tmp_path: Path) -> None:
    places = tmp_path / "places.mmdb"
    (tmp_path / "rules.conf").write_text(RULES)
    policy = tmp_path / "shop.yaml"
    policy.write_text(POLICY)
    write_places(places, COUNTRIES)
    served = launch("--policy", str(policy), "--log-format", "json")
    (address,) = served.addresses
    with Client(address) as client:

        def status() -> int:
            return client.check(Request(source_address="89.160.20.112")).status

        assert status() == 200
        write_places(tmp_path / "new", {"89.160.20.0/24": QUITO}).replace(places)
        served.until(lambda: status() == 451)
        (tmp_path / "broken").write_bytes(b"nothing of the kind")
        (tmp_path / "broken").replace(places)
        served.until(lambda: any("no MaxMind database" in line for line in served.lines))
        assert status() == 451
        write_places(tmp_path / "new", COUNTRIES).replace(places)
        served.until(lambda: status() == 200)
