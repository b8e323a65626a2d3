"""The documents and records that travel between services (docs/architecture.md, "Documents").

Times in JSON documents are RFC 3339 text (`shared.times`); in the internal MessagePack records they are
epoch milliseconds. Readers ignore fields that they don't know; fields are only added.
"""
