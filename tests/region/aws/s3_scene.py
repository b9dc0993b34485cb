"""What every S3 operation works with: the request, the buckets, and the bucket that is meant."""

from __future__ import annotations

from tests.region.aws import authorization
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Request
from tests.region.aws.s3_store import Bucket
from tests.region.aws.world import World


class Scene:
    """All that an operation needs: the request, the buckets, and the one that is meant."""

    def __init__(self, world: World, request: Request) -> None:
        self.world = world
        self.request = request
        self.buckets = world.buckets
        self.key: str = request.params["key"]
        self.name: str = request.params["bucket"]
        self._bucket: Bucket | None = None

    @property
    def bucket(self) -> Bucket:
        assert self._bucket is not None
        return self._bucket

    def require_bucket(self) -> None:
        bucket = self.buckets.find(self.name)
        if bucket is None:
            raise Refusal(
                "NoSuchBucket",
                "The specified bucket does not exist",
                404,
                {"BucketName": self.name},
            )
        if self.request.region != bucket.region:
            raise Refusal(
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified "
                "endpoint. Please send all future requests to this endpoint.",
                301,
                {
                    "Endpoint": f"{self.name}.s3.{bucket.region}.amazonaws.com",
                    "Bucket": self.name,
                    "x-amz-bucket-region": bucket.region,
                },
            )
        self._bucket = bucket

    def may(self, action: str, resource: str) -> bool:
        identity = self.request.identity
        assert identity is not None
        access = Access(action=action, resource=f"arn:aws:s3:::{resource}")
        return authorization.allowed(self.world, identity, access)

    def changed(self) -> None:
        self.world.changes.bump()
