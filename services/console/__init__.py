"""Hears FEATURES, CATALOG, RULES and APPLIED; says commands, for whoever has shown a key or signed in.

Decides nothing and stores nothing of its own but credentials.

- `backend`: what it has followed, and the one way to change something
- `changes`, `regions`, `releases`, `creators`: what changes, who runs what, and what was
- `authentication`, `asked`: who calls, and what routes ask for
- `official`: the Console API under `/console/v1`, field for field
- `api`: our own under `/api/v1`
- `pages`: the page
- `faults`, `fences`, `limits`, `measured`: what may go wrong, how much may be asked, and what is counted
"""
