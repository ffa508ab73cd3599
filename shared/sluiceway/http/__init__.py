"""HTTP for every process: `server` serves health pages and the service's own; `request_body` reads bodies."""
