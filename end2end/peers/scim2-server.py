"""scim2-server as a peer of the bench: its application with users in memory, under waitress.

One process, because what is kept in memory is kept by one process.
"""

import logging
import sys

import waitress
from scim2_models import ScimProvider
from scim2_server.memory import InMemoryStorage
from scim2_server.service import ScimService
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import (
    load_default_resource_types,
    load_default_schemas,
    load_default_service_provider_config,
)


def main() -> None:
    """Serve on the port of the command line."""
    # How many requests wait is not worth a line each.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    provider = ScimProvider.from_discovery(
        list(load_default_schemas().values()),
        list(load_default_resource_types().values()),
        config=load_default_service_provider_config(),
    )
    application = BearerTokenApplication(
        InMemoryStorage(),
        provider,
        service=ScimService(provider, secret="a-secret-of-the-bench"),
        bearer_tokens=["kwd_none"],
    )
    waitress.serve(application, host="127.0.0.1", port=int(sys.argv[1]), threads=4)


if __name__ == "__main__":
    main()
