"""Passkeys (WebAuthn) of merchants: staff sign in at a counter without typing a key."""
