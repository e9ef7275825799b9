"""Checks what a service of visits has signed and logged, without that service. Needs nothing but `cryptography`."""
