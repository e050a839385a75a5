# SPDX-License-Identifier: Apache-2.0
"""A gateway with a ClickHouse lane beside Parquet, its load, and the question whether both hold the same."""
import stores
from clickhouse import VERSIONS, need
from gateway import Gateway, Skip, reader_missing


def both(function):
    """A test of each version: test_NAME_18_16 and test_NAME_26_7, in the function's module."""
    for version in VERSIONS:
        def test(version=version):
            need(version)
            if reader_missing():
                raise Skip(reader_missing())
            function(version)
        function.__globals__[f"test_{function.__name__}_{version.replace('.', '_')}"] = test
    return function


def sink(*urls, **options):
    return dict({"type": "clickhouse", "url": ",".join(urls), "flush_age": "300ms"}, **options)


def feeding(*urls, **options):
    """A gateway that stores in Parquet and in ClickHouse."""
    return Gateway(config=stores.config(sink(*urls, **options)))


def load_start(gateway, count=6000, rate="3000", **options):
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return gateway.sim_start("--count", str(count), "--rate", rate, "--meters", "500", "--patience", "60s", *words)


def load_end(sim):
    out, errors = sim.communicate(timeout=120)
    assert sim.returncode == 0, out.decode() + errors.decode()


def assert_stores_equal(gateway, *servers, final=True):
    """The rows of all servers together are those of Parquet; returns them."""
    found = sorted((row for server in servers for row in stores.clickhouse_rows(server, final)), key=stores.order)
    wanted = stores.newest(stores.parquet_rows(gateway), like=found)
    assert wanted, "nothing was stored"
    stores.assert_same(found, wanted, " + ".join(server.what for server in servers))
    return wanted
