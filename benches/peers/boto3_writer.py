"""boto3's batch_writer in ten threads: the rows of a CSV as items.

    boto3_writer.py fill ENDPOINT TABLE CSV     writes them
    boto3_writer.py empty ENDPOINT TABLE        makes the table anew
    boto3_writer.py sum ENDPOINT TABLE          counts the items and adds up one attribute
"""

import csv
import json
import sys
import threading
from decimal import Decimal

import boto3
from botocore.config import Config

THREADS = 10
# Rows that a thread takes at once.
CHUNK = 1_000

word, endpoint, name, *rest = sys.argv[1:]


def resource():
    return boto3.resource("dynamodb", endpoint_url=endpoint, config=Config(max_pool_connections=THREADS))


def fill(path):
    lock = threading.Lock()
    with open(path, newline="") as file:
        rows = csv.DictReader(file)

        def take():
            with lock:
                return [row for _, row in zip(range(CHUNK), rows)]

        def work():
            table = resource().Table(name)
            with table.batch_writer() as writer:
                while chunk := take():
                    for row in chunk:
                        writer.put_item(Item=item(row))

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def item(row):
    found = {"PK": f"IMAGE#{row['id']}", "SK": "METADATA", "version": 1}
    for column, value in row.items():
        # NULL is left out.
        if column != "id" and value != "":
            found[column] = Decimal(value) if column.startswith("integer_") else value
    return found


def empty():
    client = resource().meta.client
    if name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)
    keys = [("PK", "HASH"), ("SK", "RANGE")]
    client.create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
    )


def add_up():
    table, page, rows, total = resource().Table(name), {}, 0, 0
    while True:
        page = table.scan(ProjectionExpression="integer_1", **({"ExclusiveStartKey": page["LastEvaluatedKey"]} if page else {}))
        rows += page["Count"]
        total += sum(int(found.get("integer_1", 0)) for found in page["Items"])
        if "LastEvaluatedKey" not in page:
            print(json.dumps({"rows": rows, "sum": total}))
            return


{"fill": fill, "empty": empty, "sum": add_up}[word](*rest)
