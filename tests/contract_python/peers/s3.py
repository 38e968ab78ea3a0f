"""Both sides of `s3`, in the version that shares credentials as secrets with whoever asks for that."""

import ops
from object_storage import S3Provider, S3Requirer


class Integrator(ops.CharmBase):
    """Gives everybody who asks `options["bucket"]`."""

    META = {"name": "s3-integrator", "provides": {"s3-credentials": {"interface": "s3"}}}

    def __init__(self, framework):
        super().__init__(framework)
        self.s3 = S3Provider(self, "s3-credentials")
        framework.observe(self.s3.on.storage_connection_info_requested, self._on_requested)

    def _on_requested(self, event):
        self.s3.set_storage_connection_info(event.relation.id, dict(self.options["bucket"]))

    def understood(self):
        return None


class Requirer(ops.CharmBase):
    """Needs a bucket."""

    META = {"name": "requirer", "requires": {"s3": {"interface": "s3", "limit": 1}}}

    def __init__(self, framework):
        super().__init__(framework)
        self.s3 = S3Requirer(self, "s3")

    def understood(self):
        return self.s3.get_storage_connection_info()
