"""Databases of places in MaxMind's format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

SWEDEN = {
    "country": {"iso_code": "SE", "names": {"en": "Sweden", "de": "Schweden"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
}
LINKOPING = {
    **SWEDEN,
    "city": {"names": {"en": "Linköping"}},
    "postal": {"code": "582 24"},
    "location": {"latitude": 58.4167, "longitude": 15.6167, "metro_code": 505},
    "subdivisions": [{"iso_code": "E", "names": {"en": "Östergötland County"}}],
}
QUITO = {
    "country": {"iso_code": "EC", "names": {"en": "Ecuador"}},
    "continent": {"code": "SA", "names": {"en": "South America"}},
    "location": {"latitude": -0.2143, "longitude": -78.5017},
}
COUNTRIES = {"89.160.20.0/24": SWEDEN, "2001:db8:20::/48": SWEDEN}
CITIES = {"89.160.20.0/24": LINKOPING, "203.0.113.0/24": QUITO, "2001:db8:20::/48": LINKOPING}


def write_places(path: Path, networks: Mapping[str, Mapping[str, Any]], kind: str = "GeoLite2-City") -> Path:
    """A file of networks of both families, as MaxMind's own are."""
    writer = MMDBWriter(6, kind, languages=["en"], description="for tests", ipv4_compatible=True)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), dict(record))
    writer.to_db_file(str(path))
    return path
