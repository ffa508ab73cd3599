"""Serves the rules of one region to SDKs; follows RULES and CATALOG, reports what it applied to APPLIED.

It starts and serves without a broker, with the last good rules from disk (`client/rule_cache.py`).

- `http_app`: the HTTP application; `statsig`: the routes of official SDKs; `ofrep`: those of OpenFeature
- `ofrep_events`: the event streams of OpenFeature clients; `event_stream`: how they are sent
- `public_address`: where clients reach it, behind a proxy
- `specs`: the rules as one payload, and waiting for the next one; `waiters`: who is woken when
- `spec_parts`, `text_blocks`, `gzip_stream`: the parts of a payload, each made and compressed once
- `grpc_stream`: the same payload as a gRPC stream; `connection_relay`: bounds the connections to it
- `send_slots`: bounds what is sent to gRPC streams at the same time
- `poll_reports`: what official SDKs have applied, by their polls
- `key_store`, `limits`, `numbers`: the keys that are accepted, and bounds on requests
- `earlier_copies`: what an earlier version has stored on disk
- `metrics`, `collectors`: what a scrape shows
"""
