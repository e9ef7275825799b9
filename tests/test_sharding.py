"""Room to grow: every statement the suite issues is explained on the same schema with hash partitions, the stand-in for a cluster.

A statement that would touch all partitions of a sharded table fails here, unless it is listed with its reason. This runs last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from alembic import command
from psycopg2.errors import UndefinedColumn

from geo_o2o import cluster
from geo_o2o.app import import_models
from geo_o2o.db import Base
from geo_o2o.ops.service import alembic_config

from . import sharding
from .conftest import BEFORE_SHARDING

PARTITIONS = 8
import_models()
SHARDED = [table.name for table in Base.metadata.sorted_tables if table.info.get("citus") == "shard_cell"]

# A pattern of a statement that may ask every shard, and why.
ALLOWED = {
    r"WHERE offers\.store_ids @>": "the worker looks for the offers of a store that moved or was sold",
    r"ORDER BY stores\.shard_cell, stores\.id": "the walk over the whole catalogue reads every shard by its nature, a page at a time",
    r"ORDER BY offers\.shard_cell, offers\.id": "the walk over all offers, likewise",
    r"FROM store_districts\s+WHERE store_districts\.district_id =": "a changed district asks which stores it held, once a change",
    r"FROM incoming|INTO incoming|UPDATE incoming|incoming i|incoming_basemap": "a load compares the rows of a whole source, in one transaction",
    r"FROM check_ins\s+WHERE check_ins\.merchant_id|FROM check_ins ORDER BY|FROM check_ins GROUP BY": "a merchant's or the operator's report over all its stores",
    r"SELECT DISTINCT shard_cell FROM cell_versions": "a map of half the world asks which shards there are",
    r"DELETE FROM check_in_evidence WHERE": "the worker erases what is old, everywhere; and an account's, when it is erased",
    r"DELETE FROM (challenges|till_codes) WHERE": "the worker forgets what is spent, everywhere; and a device's, when its account is erased",
    r"FROM receipts\s+WHERE receipts\.subject_id =|^UPDATE check_ins SET visitor=": "an account is erased, wherever it has been",
    r"FROM receipts\s+WHERE receipts\.issued_at <": "the worker deletes receipts past their life, everywhere",
    r"WHERE check_ins\.receipt_id IS NULL AND check_ins\.claim_hash IS NOT NULL": "the worker looks for visits that have no receipt yet",
    r"FROM check_ins\s+WHERE check_ins\.level >=": "the weekly look compares all stores",
    r"FROM check_ins\s+WHERE check_ins\.subject_id = ": "an account is erased, wherever it has been",
    r"SELECT DISTINCT (check_ins|receipts)\.subject_id": "a restored backup is searched for those who were erased",
    r"ON b\.shard_cell = v\.shard_cell AND b\.block = v\.cell\n WHERE b\.version IS DISTINCT": "the worker looks for what to roll up, everywhere",
    r"FROM supply_blocks WHERE block <> shard_cell GROUP BY shard_cell": "the worker looks for shards to sum up, everywhere",
    r"SELECT min\(checked_in_at\), max\(checked_in_at\) FROM check_ins": "the operator's export of all check-ins, by a command",
    r"SELECT DISTINCT shard_cell FROM stores WHERE source|SELECT ST_Extent": "the demonstration's visits, by a command",
    r"SELECT DISTINCT h3_parent\(cell, 7\) FROM stores WHERE source": "the credit of a source is shown wherever its stores are; once a load",
    r"rating_count > 0 GROUP BY category_id": "a profile is fitted to all ratings, by a command",
    r"status = 'live' AND \(rating_count = 0 OR rating_sample\)": "the demonstration's samples, by a command",
    r"WHERE (stores|offer_store)\.search_grams IS NULL": "what older versions left without words is filled once, after a migration",
    r"^UPDATE check_in_evidence SET (evidence|fixes) = |INSERT INTO cell_versions .* FROM stores|UPDATE offer_store p SET store_count|^UPDATE (offers|offer_store) SET valid_from|^UPDATE (stores|offer_store) SET search_grams = NULL": "migrations, once",
    r"SELECT EXISTS \(SELECT FROM offers WHERE sample": "the demonstration's samples, by a command",
}
# What tests ask behind the service's back, to look at its work.
TESTS_OWN = re.compile(
    r"^/\* test \*/|"
    r"^\s*SELECT (t::text|evidence|check_in_id FROM|totp_secret|month, sealed|id FROM receipts$|count\(\*\)|price_minor|store_id|fixes|bool_and|status|new_id|md5|source_id, (id|rating_sum)|\* FROM stores|source_id FROM stores|s\.source_id|id, ST_X)"
    r"|^SELECT (id FROM stores$|rating_count FROM stores WHERE source = 'real'|shard_cell, id, category_id FROM stores ORDER|id, shard_cell FROM stores LIMIT)"
    r"|^UPDATE (stores SET brand|offer_store SET (list_price|title))|^SELECT \*(, ST_X| FROM offer_store)"
    r"|^UPDATE (challenges|check_ins) SET \w+ = \w+ - make_interval|^UPDATE stores SET (status = (%|'moved')|status = 'removed'$|hours_id =|merchant_id = %\(owner)|^DELETE FROM stores$|^INSERT INTO attributions VALUES"
)
_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@pytest.fixture(scope="module")
def partitioned(server: cluster.Cluster) -> Iterator[Any]:
    """The migrations' schema with every sharded table hash-partitioned by shard_cell."""
    name = "geo_o2o_partitioned"
    cluster.create_database(server, name)
    config = alembic_config(cluster.database_url(server, name))
    config.cmd_opts = type("Options", (), {"x": [f"partitions={PARTITIONS}"]})()
    command.upgrade(config, "head")
    psycopg2.extras.register_uuid()
    connection = psycopg2.connect(cluster.database_url(server, name).replace("+psycopg2", ""))
    connection.autocommit = True
    yield connection
    connection.close()
    cluster.drop_database(server, name)


def whole_tables(plan: Any) -> set[str]:
    """Sharded tables of which a plan touches every partition."""
    touched: dict[str, set[str]] = {}

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            match = re.fullmatch(r"(\w+)_p(\d)", str(node.get("Relation Name", "")))
            # The target of an INSERT is one partition for each row, whatever the plan lists.
            if match and not (node.get("Node Type") == "ModifyTable" and node.get("Operation") == "Insert"):
                touched.setdefault(match[1], set()).add(match[2])
            for value in node.values():
                walk(value)

    walk(plan)
    return {table for table, numbers in touched.items() if len(numbers) == PARTITIONS}


def test_the_stand_in_has_every_sharded_table_in_partitions(partitioned: Any) -> None:
    with partitioned.cursor() as cursor:
        cursor.execute(
            "SELECT parent.relname, count(*) FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent WHERE parent.relkind = 'p' GROUP BY 1"
        )
        assert dict(cursor.fetchall()) == dict.fromkeys(SHARDED, PARTITIONS)


def test_the_judge_catches_a_statement_without_its_shard(partitioned: Any) -> None:
    with partitioned.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) SELECT * FROM stores WHERE id = '01a1fff2-6630-8112-9b5c-a9272055c5ec'")
        assert whole_tables(cursor.fetchone()[0]) == {"stores"}
        cursor.execute(
            "EXPLAIN (FORMAT JSON) SELECT * FROM stores s JOIN offer_store o ON o.shard_cell = s.shard_cell AND o.store_id = s.id WHERE s.shard_cell = 5"
        )
        assert whole_tables(cursor.fetchone()[0]) <= {"offer_store"}
        cursor.execute("EXPLAIN (FORMAT JSON) SELECT * FROM stores WHERE shard_cell = ANY('{1,2}')")
        assert whole_tables(cursor.fetchone()[0]) == set()


def test_no_statement_of_the_suite_touches_every_partition(partitioned: Any, pytestconfig: pytest.Config) -> None:
    sharding.gather(pytestconfig.stash[BEFORE_SHARDING])
    if len(sharding.statements) < 60:
        pytest.skip("runs after the whole suite")
    explained, broken, used = 0, {}, set()
    with partitioned.cursor() as cursor:
        for text in sharding.statements:
            if text.strip().startswith("CREATE TEMPORARY TABLE"):
                cursor.execute(text.replace("CREATE TEMPORARY TABLE", "CREATE TEMPORARY TABLE IF NOT EXISTS").replace(" ON COMMIT DROP", ""))
        for text, parameters in sharding.statements.items():
            if not text.lstrip().startswith(_KINDS) or not any(table in text for table in SHARDED) or TESTS_OWN.search(text):
                continue
            reason = next((pattern for pattern in ALLOWED if re.search(pattern, text)), None)
            if isinstance(parameters, dict) and parameters.get("shard_cells"):
                # A wide area may well ask them all; what counts is that a narrow one does not.
                parameters = {**parameters, "shard_cells": parameters["shard_cells"][:1]}
            try:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", parameters or None)
            except psycopg2.Error as failure:
                # A migration's own statement may be of a schema that is no more.
                if not (isinstance(failure, UndefinedColumn) and reason is not None and ALLOWED[reason].startswith("migrations")):
                    broken[text] = str(failure)
                continue
            explained += 1
            whole = whole_tables(cursor.fetchone()[0])
            if whole and reason is None:
                broken[text] = f"touches every partition of {whole}"
            elif whole:
                used.add(reason)
    assert not broken, json.dumps(broken, indent=1)[:6_000]
    assert explained > 40
    assert used == set(ALLOWED), f"listed without need: {set(ALLOWED) - used}"
