"""Make the object store's buckets: `make_buckets.py NAME ...`; existing ones stay.

Address and credentials come from the environment, as AWS's own tools read them.
"""

import sys
from contextlib import suppress

import boto3

store = boto3.client("s3")
for name in sys.argv[1:]:
    with suppress(store.exceptions.BucketAlreadyExists, store.exceptions.BucketAlreadyOwnedByYou):
        store.create_bucket(Bucket=name)
