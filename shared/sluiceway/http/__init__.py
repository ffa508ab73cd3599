"""HTTP for every process.

- `server`: the health pages, and the pages of the service
- `listening`: sockets and addresses
- `connections`, `file_descriptors`: how many connections a process keeps, and which
- `bounded_protocol`: a time and a size for what a client sends, and a time to read the answer
- `joined_writes`: the head of a response and its body in one packet
- `request_bounds`, `concurrency_limit`: requests at the same time of one address, or of one key
- `proxies`: whom to believe about clients behind a proxy
- `request_body`: read a body up to a bound
- `headers`: look at one field of a request
- `etags`: compare entity tags (`If-Match`, `If-None-Match`)
- `server_sent_events`: the format of event streams
"""
