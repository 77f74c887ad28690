"""`python -m verify_service` is `verify-service`."""

from verify_service.cli import main

main()
