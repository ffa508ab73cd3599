"""HTTP for every process.

- `server`: the health pages, and the pages of the service
- `listening`: sockets and addresses
- `proxies`: whom to believe about clients behind a proxy
- `request_body`: read a body up to a bound
- `etags`: compare entity tags (`If-Match`, `If-None-Match`)
- `server_sent_events`: the format of event streams
"""
